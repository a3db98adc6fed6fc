import json
import os
import pickle
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mlx.core as mx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from granite_mlx.errors import CheckpointError
from granite_mlx.model.shards import read_headers

from .tiny import edit_header, write_weights

TENSORS = {
    "a": mx.ones((3, 5)),
    "b.weight": mx.ones((7,), mx.bfloat16),
    "c": mx.ones((2, 3, 4), mx.float16),
    "counter": mx.array(7, mx.int64),
}
INDEX = "model.safetensors.index.json"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with one good file, model.safetensors."""
    write_weights(tmp_path, TENSORS)
    return tmp_path


@pytest.fixture
def sharded(tmp_path: Path) -> Path:
    """A folder with two shards and their index: a and c, b.weight and counter."""
    write_weights(tmp_path, TENSORS, n_shards=2)
    return tmp_path


def refused(folder: Path) -> str:
    """The message of the error that the folder is refused with."""
    with pytest.raises(CheckpointError) as caught:
        read_headers(folder)
    return str(caught.value)


def test_one_file(folder: Path) -> None:
    headers = read_headers(folder)
    found = {name: (info.dtype, info.shape, info.n_bytes) for name, info in headers.items()}
    assert found == {
        "a": ("F32", (3, 5), 60),
        "b.weight": ("BF16", (7,), 14),
        "c": ("F16", (2, 3, 4), 48),
        "counter": ("I64", (), 8),
    }
    assert {info.path for info in headers.values()} == {folder / "model.safetensors"}


def test_shards_give_the_same_tensors(sharded: Path) -> None:
    headers = read_headers(sharded)
    assert {name: info.path.name for name, info in headers.items()} == {
        "a": "model-00001-of-00002.safetensors",
        "b.weight": "model-00002-of-00002.safetensors",
        "c": "model-00001-of-00002.safetensors",
        "counter": "model-00002-of-00002.safetensors",
    }
    assert headers["c"].shape == (2, 3, 4)


def test_shards_without_an_index(sharded: Path) -> None:
    with_index = read_headers(sharded)
    (sharded / INDEX).unlink()
    assert read_headers(sharded) == with_index


def test_an_empty_tensor(tmp_path: Path) -> None:
    write_weights(tmp_path, TENSORS)
    entry = {"dtype": "F32", "shape": [0, 4], "data_offsets": [0, 0]}
    edit_header(tmp_path / "model.safetensors", lambda header: header.update(empty=entry))
    assert read_headers(tmp_path)["empty"].n_bytes == 0


# Folders without weights


def test_no_weights(tmp_path: Path) -> None:
    assert "no weights" in refused(tmp_path)
    assert "model.safetensors" in refused(tmp_path)


class Bomb:
    """Leaves a file behind when it is unpickled."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> tuple[Callable[[str], None], tuple[str]]:
        return os.mkdir, (str(self.trace),)


@pytest.mark.parametrize("name", ["pytorch_model.bin", "model.pt"])
def test_pickles_are_never_opened(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(pickle.dumps(Bomb(tmp_path / "trace")))
    assert "never opened" in refused(tmp_path)
    assert not (tmp_path / "trace").exists()


def test_an_index_of_pickles(tmp_path: Path) -> None:
    (tmp_path / "pytorch_model.bin").write_bytes(pickle.dumps(Bomb(tmp_path / "trace")))
    (tmp_path / INDEX).write_text(json.dumps({"weight_map": {"a": "pytorch_model.bin"}}))
    assert "pytorch_model.bin" in refused(tmp_path)
    assert not (tmp_path / "trace").exists()


def test_an_index_may_name_safetensors_only(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "weights.bin")  # MLX goes by the suffix
    (folder / INDEX).write_text(json.dumps({"weight_map": dict.fromkeys(TENSORS, "weights.bin")}))
    assert "weights.bin" in refused(folder)


# Damaged files


@pytest.mark.parametrize("n_bytes", [0, 1, 7, 8, 9, 100, -1])
def test_truncated_anywhere(folder: Path, n_bytes: int) -> None:
    path = folder / "model.safetensors"
    content = path.read_bytes()
    path.write_bytes(content[:n_bytes])
    message = refused(folder)
    assert str(path) in message
    assert "truncated" in message


@pytest.mark.parametrize("length", [2**63, 2**64 - 1, 100_000_001, 10_000, 0, 1])
def test_header_length_that_cannot_be(folder: Path, length: int) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(length.to_bytes(8, "little") + path.read_bytes()[8:])
    assert str(path) in refused(folder)


def test_a_huge_header_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    path.write_bytes((1 << 38).to_bytes(8, "little") + b"{}")
    os.truncate(path, 1 << 39)  # sparse
    assert str(path) in refused(tmp_path)


@pytest.mark.parametrize(
    "header",
    [
        b"[1, 2]", b'"text"', b"null", b"{]", b"\xff\xfe\xfd", b"[" * 50_000, b'{"a": 1}', b"{} {}",
        b'{"__metadata__": [1]}', b'{"__metadata__": 0}', '{"a": {}}'.encode("utf-16"),
        b'{"__metadata__": {"format": 1}}',
    ],
    ids=lambda header: header[-8:],
)  # fmt: skip
def test_header_that_is_no_table_of_tensors(tmp_path: Path, header: bytes) -> None:
    path = tmp_path / "model.safetensors"
    path.write_bytes(len(header).to_bytes(8, "little") + header + bytes(100))
    message = refused(tmp_path)
    assert str(path) in message
    assert "corrupt" in message


@pytest.mark.parametrize("key", ["dtype", "shape", "data_offsets"])
@pytest.mark.parametrize(
    "value", [KeyError, None, 5, "F", [], [1], [1, 2, 3], [-4, 8], [0.0, 60.0], ["0", "60"], {}]
)
def test_corrupt_entries_are_named(folder: Path, key: str, value: Any) -> None:
    def edit(header: dict[str, Any]) -> None:
        header["a"][key] = value
        if value is KeyError:
            del header["a"][key]

    edit_header(folder / "model.safetensors", edit)
    message = refused(folder)
    assert str(folder / "model.safetensors") in message
    assert " a " in message


@pytest.mark.parametrize("dtype", ["F8_E4M3", "BOOL", "F4", "f32"])
def test_types_that_are_not_read(folder: Path, dtype: str) -> None:
    edit_header(folder / "model.safetensors", lambda header: header["a"].update(dtype=dtype))
    assert f"a has the type {dtype}" in refused(folder)


@pytest.mark.parametrize(
    ("shape", "offsets"),
    [
        ([3, 5], [0, 56]),  # too few bytes
        ([3, 5], [0, 64]),  # too many
        ([3, 5], [60, 0]),  # backwards
        ([3, 6], [0, 60]),
        ([2**40, 2**40], [0, 60]),
    ],
)
def test_bytes_that_do_not_fit_the_shape(folder: Path, shape: Any, offsets: Any) -> None:
    entry = {"shape": shape, "data_offsets": offsets}
    edit_header(folder / "model.safetensors", lambda header: header["a"].update(entry))
    assert "a claims" in refused(folder)


def test_overlapping_tensors_are_named(folder: Path) -> None:
    def edit(header: dict[str, Any]) -> None:
        header["a"]["data_offsets"] = [8, 68]

    edit_header(folder / "model.safetensors", edit)
    message = refused(folder)
    assert str(folder / "model.safetensors") in message
    assert any(f"{name} " in message for name in ("a", "b.weight", "c", "counter"))


def test_bytes_that_belong_to_no_tensor(folder: Path) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes() + bytes(4))
    assert str(path) in refused(folder)


def test_a_tensor_listed_twice_in_one_header(folder: Path) -> None:
    path = folder / "model.safetensors"
    content = path.read_bytes()
    end = 8 + int.from_bytes(content[:8], "little")
    first = json.dumps({"a": {"dtype": "F32", "shape": [3, 5], "data_offsets": [0, 60]}})
    second = json.dumps({"a": {"dtype": "F32", "shape": [3, 5], "data_offsets": [60, 120]}})
    header = f"{first[:-1]}, {second[1:]}".encode()
    path.write_bytes(len(header).to_bytes(8, "little") + header + content[end:].ljust(120)[:120])
    assert str(path) in refused(folder)


@settings(deadline=None, max_examples=100)
@given(seed=st.integers(0, 2**32), n_bytes=st.integers(0, 300))
def test_random_bytes(tmp_path_factory: pytest.TempPathFactory, seed: int, n_bytes: int) -> None:
    folder = tmp_path_factory.mktemp("random")
    (folder / "model.safetensors").write_bytes(random.Random(seed).randbytes(n_bytes))
    assert "model.safetensors" in refused(folder)


@settings(deadline=None, max_examples=200)
@given(st.data())
def test_one_wrong_byte_in_the_header(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    """Either it is noticed, or the tensors still lie within the file as their shapes need."""
    folder = tmp_path_factory.mktemp("flipped")
    write_weights(folder, TENSORS)
    path = folder / "model.safetensors"
    content = bytearray(path.read_bytes())
    end = 8 + int.from_bytes(content[:8], "little")
    content[data.draw(st.integers(0, end - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(content)
    try:
        headers = read_headers(folder)
    except CheckpointError:
        return
    assert sum(info.n_bytes for info in headers.values()) <= len(content) - end


# Several files and their index


def test_missing_shard(sharded: Path) -> None:
    (sharded / "model-00002-of-00002.safetensors").unlink()
    message = refused(sharded)
    assert "model-00002-of-00002.safetensors" in message
    assert "No such file" in message


def test_a_folder_in_a_shards_place(sharded: Path) -> None:
    (sharded / "model-00002-of-00002.safetensors").unlink()
    (sharded / "model-00002-of-00002.safetensors").mkdir()
    assert "model-00002-of-00002.safetensors" in refused(sharded)


def test_tensor_in_two_shards(sharded: Path) -> None:
    mx.save_safetensors(
        str(sharded / "model-00002-of-00002.safetensors"),
        {name: TENSORS[name] for name in ("a", "b.weight", "counter")},
    )
    message = refused(sharded)
    assert "a is also in model-00001-of-00002.safetensors" in message
    assert "model-00002-of-00002.safetensors" in message


@pytest.mark.parametrize(
    ("name", "file_name"),
    [
        ("d", "model-00001-of-00002.safetensors"),  # no such tensor
        ("a", "model-00002-of-00002.safetensors"),  # it is in the other one
    ],
)
def test_index_that_disagrees(sharded: Path, name: str, file_name: str) -> None:
    index = json.loads((sharded / INDEX).read_text())
    index["weight_map"][name] = file_name
    (sharded / INDEX).write_text(json.dumps(index))
    assert f"{name} is not in {file_name}" in refused(sharded)


@pytest.mark.parametrize(
    "name",
    ["../other/model.safetensors", "/etc/model.safetensors", "sub/model.safetensors", "..", ".", "",
     "a\0.safetensors"],
)  # fmt: skip
def test_index_with_a_path(sharded: Path, name: str) -> None:
    outside = sharded.parent / "other"
    outside.mkdir(exist_ok=True)
    write_weights(outside, TENSORS)
    (sharded / INDEX).write_text(json.dumps({"weight_map": {"a": name}}))
    message = refused(sharded)
    assert INDEX in message
    assert repr(name) in message


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[]", b"{}", b'{"weight_map": {}}', b'{"weight_map": []}', b'{"weight_map": null}',
     b'{"weight_map": {"a": 1}}', b'{"weight_map": {"a": null}}', b"\xff", b"[" * 50_000],
    ids=lambda content: content[:30],
)  # fmt: skip
def test_index_that_makes_no_sense(sharded: Path, content: bytes) -> None:
    (sharded / INDEX).write_bytes(content)
    assert str(sharded / INDEX) in refused(sharded)
