import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import mlx.core as mx
import pytest

from granite_mlx.convert import stream
from granite_mlx.convert.plan import Plan, plan
from granite_mlx.convert.recipes import RECIPES, Recipe, Rule, uniform
from granite_mlx.convert.source import StoredTensors
from granite_mlx.convert.stream import Shard, shards, write_weights
from granite_mlx.errors import ConversionError
from granite_mlx.model.quantisation import MODES, QuantFormat, dequantise, quantise
from granite_mlx.model.shards import ITEM_BYTES, TensorInfo, read_headers

from .small import small_checkpoint, stored

MIXED = Recipe(
    "mixed",
    "",
    (
        Rule("encoder.*", MODES["mxfp8"], ""),
        Rule("projector.*", None, ""),
        Rule("*.mlp.*", QuantFormat(6, 64), ""),
        Rule("*", QuantFormat(8, 32), ""),
    ),
)


def nothing(n_bytes: int) -> None:
    pass


def written(source: Path, destination: Path, decided: Plan, limit_bytes: int = 10**9) -> Path:
    destination.mkdir()
    tensors = StoredTensors(read_headers(source))
    write_weights(destination, shards(decided, limit_bytes), tensors, nothing)
    return destination


def planned(source: Path, recipe: Recipe | None = None, dtype: str | None = None) -> Plan:
    tensors = StoredTensors(read_headers(source)).tensors
    return plan(tensors, tied=False, recipe=recipe, dtype=dtype)


def same(a: mx.array, b: mx.array) -> bool:
    return a.dtype == b.dtype and a.shape == b.shape and bool(mx.array_equal(a, b).item())


@pytest.mark.parametrize("dtype", ["F32", "BF16", "F16"])
def test_floating_tensors_are_the_sources_bit_for_bit(tmp_path: Path, dtype: str) -> None:
    source = small_checkpoint(tmp_path / "source", dtype=dtype)
    result = stored(written(source, tmp_path / "result", planned(source)))
    originals = stored(source)
    assert set(result) == {name for name in originals if not name.endswith("num_batches_tracked")}
    for name, array in result.items():
        assert same(array, originals[name].reshape(array.shape)), name


def test_the_files_have_the_types_and_shapes_of_the_plan(tmp_path: Path) -> None:
    source = small_checkpoint(tmp_path / "source", dtype="BF16", n_shards=3)
    decided = planned(source, MIXED)
    headers = read_headers(written(source, tmp_path / "result", decided))
    promised = {name: entry for fate in decided.fates for name, entry in fate.stored.items()}
    assert {name: (info.dtype, info.shape) for name, info in headers.items()} == promised
    assert sum(info.n_bytes for info in headers.values()) == decided.n_bytes


@pytest.mark.parametrize("block_bytes", [1, 5000, 1 << 25])
def test_a_matrix_is_quantised_the_same_in_any_blocks(
    tmp_path: Path, block_bytes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Row by row, which takes long, it is one matrix of each format."""
    monkeypatch.setattr(stream, "BLOCK_BYTES", block_bytes)
    source = small_checkpoint(tmp_path / "source", dtype="BF16")
    decided = planned(source, MIXED)
    assert len(decided.quantised) > 20
    if block_bytes == 1:
        one_each = {fate.format: fate for fate in decided.quantised}
        decided = replace(decided, fates=tuple(one_each.values()))
        assert len(one_each) == 3
    result = stored(written(source, tmp_path / "result", decided))
    originals = stored(source)
    for fate in decided.quantised:
        assert fate.format is not None
        matrix = originals[fate.name].reshape(fate.matrix)
        for part, array in quantise(matrix, fate.format).items():
            assert same(result[f"{fate.module}.{part}"], array), (fate.name, part)


def test_quantised_matrices_are_close_to_the_source(tmp_path: Path) -> None:
    source = small_checkpoint(tmp_path / "source")
    decided = planned(source, uniform(QuantFormat(8, 64)))
    result, originals = stored(written(source, tmp_path / "result", decided)), stored(source)
    for fate in decided.quantised:
        assert fate.format is not None
        parts = {part: result[f"{fate.module}.{part}"] for part in ("weight", "scales", "biases")}
        matrix = originals[fate.name].reshape(fate.matrix)
        error = mx.linalg.norm(dequantise(parts, fate.format, mx.float32) - matrix)
        assert 0 < error.item() < 0.01 * mx.linalg.norm(matrix).item()


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
def test_another_type_on_request(tmp_path: Path, dtype: str) -> None:
    source = small_checkpoint(tmp_path / "source")
    result = stored(written(source, tmp_path / "result", planned(source, MIXED, dtype)))
    kind = getattr(mx, dtype)
    assert {array.dtype for array in result.values()} == {kind, mx.uint32, mx.uint8}
    bias, original = result["encoder.out.bias"], stored(source)["encoder.out.bias"]
    assert same(bias, original.astype(kind))


@pytest.mark.parametrize(("value", "fits"), [(65504.0, True), (70000.0, False)])
def test_values_beyond_float16_are_refused(tmp_path: Path, value: float, fits: bool) -> None:
    source = small_checkpoint(tmp_path / "source")
    tensors = stored(source)
    tensors["encoder.layers.1.conv.batch_norm.running_var"][3] = value
    mx.save_safetensors(str(source / "model.safetensors"), tensors)
    decided = planned(source, dtype="float16")
    if fits:
        written(source, tmp_path / "result", decided)
        return
    with pytest.raises(ConversionError, match=r"layers\.1.*running_var.*float16"):
        written(source, tmp_path / "result", decided)


# Files


def test_one_file_has_no_index(tmp_path: Path) -> None:
    source = small_checkpoint(tmp_path / "source", n_shards=3)
    result = written(source, tmp_path / "result", planned(source))
    assert [path.name for path in result.iterdir()] == ["model.safetensors"]


def test_large_results_are_divided(tmp_path: Path) -> None:
    source = small_checkpoint(tmp_path / "source")
    decided = planned(source, RECIPES["q8"])
    limit_bytes = decided.n_bytes // 3
    result = written(source, tmp_path / "result", decided, limit_bytes)
    index = json.loads((result / "model.safetensors.index.json").read_text())
    files = sorted(set(index["weight_map"].values()))
    assert len(files) > 3
    assert files[0] == f"model-00001-of-{len(files):05}.safetensors"
    assert index["metadata"]["total_size"] == decided.n_bytes
    headers = read_headers(result)  # which compares the index with the files
    assert set(headers) == {name for fate in decided.fates for name in fate.stored}
    for name in files:
        there = [info for info in headers.values() if info.path.name == name]
        assert sum(info.n_bytes for info in there) <= limit_bytes or len(there) <= 3


def test_the_parts_of_a_matrix_are_in_one_file(tmp_path: Path) -> None:
    source = small_checkpoint(tmp_path / "source")
    decided = planned(source, RECIPES["q8"])
    for file in shards(decided, 1):
        assert len(file.fates) == 1
    result = written(source, tmp_path / "result", decided, decided.n_bytes // 2)
    headers = read_headers(result)
    for fate in decided.quantised:
        assert len({headers[name].path for name in fate.stored}) == 1


def test_every_tensor_lies_at_a_multiple_of_its_items_size(tmp_path: Path) -> None:
    """Readers that map a file into memory need it."""
    source = small_checkpoint(tmp_path / "source", dtype="BF16")
    decided = planned(source, MIXED)
    (shard,) = shards(decided)
    (header, data_begin) = parsed(shard)
    assert data_begin % 8 == 0
    kinds = {entry["dtype"] for entry in header.values()}
    assert kinds == {"U32", "BF16", "U8"}
    for entry in header.values():
        assert entry["data_offsets"][0] % ITEM_BYTES[entry["dtype"]] == 0


def parsed(shard: Shard) -> tuple[Mapping[str, dict[str, list[int]]], int]:
    content = shard.header()
    length = int.from_bytes(content[:8], "little")
    assert len(content) == 8 + length
    header = json.loads(content[8:])
    assert header.pop("__metadata__") == {"format": "mlx"}
    return header, len(content)


# Memory, progress, failures


@pytest.mark.parametrize("n_shards", [1, 3])
def test_one_tensor_is_in_memory_at_a_time(
    tmp_path: Path, n_shards: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream, "BLOCK_BYTES", 1 << 14)
    source = small_checkpoint(tmp_path / "source", n_shards=n_shards)
    decided = planned(source, RECIPES["q8"])
    largest = max(fate.source_bytes for fate in decided.fates)
    mx.synchronize()
    before = mx.get_active_memory()
    mx.reset_peak_memory()
    written(source, tmp_path / "result", decided)
    held = mx.get_peak_memory() - before
    assert decided.source_bytes > 8 * largest
    assert largest <= held < 2 * largest
    assert mx.get_active_memory() <= before + 1000


def test_progress_counts_what_is_read(tmp_path: Path) -> None:
    source = small_checkpoint(tmp_path / "source")
    decided = planned(source, MIXED)
    counted: list[int] = []
    (tmp_path / "result").mkdir()
    tensors = StoredTensors(read_headers(source))
    write_weights(tmp_path / "result", shards(decided), tensors, counted.append)
    left_out = [fate for fate in decided.fates if not fate.stored]
    assert sum(counted) == decided.source_bytes - sum(fate.source_bytes for fate in left_out)


def test_an_exception_from_the_callback_stops_the_writing(tmp_path: Path) -> None:
    source = small_checkpoint(tmp_path / "source")
    calls: list[int] = []

    def stop(n_bytes: int) -> None:
        calls.append(n_bytes)
        raise KeyboardInterrupt

    (tmp_path / "result").mkdir()
    tensors = StoredTensors(read_headers(source))
    with pytest.raises(KeyboardInterrupt):
        write_weights(tmp_path / "result", shards(planned(source)), tensors, stop)
    assert len(calls) == 1


def test_no_file_is_written_over(tmp_path: Path) -> None:
    source = small_checkpoint(tmp_path / "source")
    tensors = StoredTensors(read_headers(source))
    with pytest.raises(FileExistsError):
        write_weights(source, shards(planned(source)), tensors, nothing)


def test_the_names_of_another_layout_are_read_by_their_published_ones(tmp_path: Path) -> None:
    nested = small_checkpoint(tmp_path / "nested", layout="nested")
    published = small_checkpoint(tmp_path / "published")
    results = [
        stored(written(source, tmp_path / f"{source.name}-result", planned(source, MIXED)))
        for source in (nested, published)
    ]
    assert results[0].keys() == results[1].keys()
    assert all(same(array, results[1][name]) for name, array in results[0].items())


def test_a_tensor_can_be_read_again(tmp_path: Path) -> None:
    source = small_checkpoint(tmp_path / "source")
    tensors = StoredTensors(read_headers(source))
    first, second = tensors.read("projector.query"), tensors.read("projector.query")
    assert same(first, second)
    with pytest.raises(KeyError):
        tensors.read("projector.answer")


def test_a_plan_may_hold_a_single_tensor() -> None:
    info = TensorInfo("projector.query", "BF16", (1, 2, 6), Path("x"))
    (shard,) = shards(plan({info.name: info}, tied=False))
    header, _ = parsed(shard)
    assert header == {
        "projector.query": {"dtype": "BF16", "shape": [1, 2, 6], "data_offsets": [0, 24]}
    }
