import dataclasses
import hashlib
import json
from pathlib import Path

import pytest

import granite_mlx
from granite_mlx.convert import manifest
from granite_mlx.convert.manifest import (
    MANIFEST_NAME,
    Manifest,
    Origin,
    WeightFile,
    hash_files,
    read_manifest,
    versions,
)
from granite_mlx.convert.recipes import RECIPES
from granite_mlx.errors import CheckpointError

MANIFEST = Manifest(
    source=Origin("owner/name", "0" * 40, (WeightFile("model.safetensors", 5, "ab"),)),
    family="4.1",
    dequantised=False,
    merged_adapter=True,
    recipe=RECIPES["q4"].to_record(),
    dtype=None,
    layout="granite-mlx",
    versions={"granite-mlx": "1.2.3", "mlx": "0.32.0"},
    source_bytes=5,
    n_bytes=3,
    n_quantised=7,
    kept_floating={"encoder.input_linear": "its width"},
    files={"config.json": 3},
    unused_patterns=("x.*",),
    verification={"kl_nats": 0.01},
    exceeded=("Too much.",),
    warnings=("No network.",),
)


def test_it_is_read_as_it_was_written(tmp_path: Path) -> None:
    MANIFEST.write(tmp_path)
    assert read_manifest(tmp_path) == MANIFEST
    bare = dataclasses.replace(MANIFEST, recipe=None, verification=None, exceeded=())
    bare.write(tmp_path)
    assert read_manifest(tmp_path) == bare


def test_it_can_be_read_by_others(tmp_path: Path) -> None:
    MANIFEST.write(tmp_path)
    record = json.loads((tmp_path / "granite_mlx.json").read_text())
    assert record["format_version"] == 1
    assert record["source"]["model_id"] == "owner/name"
    assert record["source"]["weights"] == [
        {"name": "model.safetensors", "n_bytes": 5, "sha256": "ab"}
    ]
    assert record["recipe"]["rules"][0]["reason"]


def test_a_folder_without_one(tmp_path: Path) -> None:
    assert read_manifest(tmp_path) is None


@pytest.mark.parametrize(
    "content",
    ["", "{", "[]", "{}", '{"format_version": 2}', '{"format_version": 1, "source": {}}'],
)
def test_a_damaged_one_is_named(tmp_path: Path, content: str) -> None:
    (tmp_path / MANIFEST_NAME).write_text(content)
    with pytest.raises(CheckpointError, match=r"granite_mlx\.json cannot be used .*convert again"):
        read_manifest(tmp_path)


def test_files_are_hashed_in_pieces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(manifest, "_CHUNK_BYTES", 4)
    contents = {"a": b"0123456789", "b": b""}
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
    counted: list[int] = []
    files = hash_files([tmp_path / name for name in contents], counted.append)
    assert files == tuple(
        WeightFile(name, len(content), hashlib.sha256(content).hexdigest())
        for name, content in contents.items()
    )
    assert counted == [4, 4, 2]


def test_versions_are_the_installed_ones() -> None:
    found = versions()
    assert found["granite-mlx"] == granite_mlx.__version__
    assert found["mlx"].split(".")[0].isdecimal()
