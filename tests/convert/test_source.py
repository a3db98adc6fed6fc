from pathlib import Path

import mlx.core as mx
import pytest

from granite_mlx.convert import convert, uniform
from granite_mlx.convert.source import (
    DequantisedTensors,
    open_floating,
    open_quantised,
)
from granite_mlx.errors import CheckpointError, ConversionError
from granite_mlx.model.folder import read_config
from granite_mlx.model.quantisation import MODES, QuantFormat
from granite_mlx.model.shards import read_headers
from granite_mlx.model.stored import StoredTensors, check_tied_head

from ..model.tiny import published_tensors
from .small import CONFIG, HEAD, TABLE, TIED, small_checkpoint, stored

FORMATS = [QuantFormat(bits, size) for bits in (2, 3, 4, 5, 6, 8) for size in (32, 64)]


@pytest.mark.parametrize("format", [*FORMATS, *list(MODES.values())[1:]], ids=str)
def test_dequantised_tensors_have_the_shapes_of_the_floating_ones(
    tmp_path: Path, format: QuantFormat
) -> None:
    source = small_checkpoint(tmp_path / "source", dtype="BF16")
    convert(source, tmp_path / "quantised", recipe=uniform(format))
    tensors = open_quantised(tmp_path / "quantised", read_config(tmp_path / "quantised"))
    originals = open_floating(source, read_config(source)).tensors
    assert set(tensors.tensors) == {name for name in originals if "num_batches" not in name}
    for name in ("language_model.model.layers.0.self_attn.k_proj.weight", "projector.query", HEAD):
        info, array = tensors.tensors[name], tensors.read(name)
        assert info.dtype == "BF16"
        assert array.dtype == mx.bfloat16
        assert info.shape == tuple(array.shape) == originals[name].shape


def test_dequantised_tensors_are_in_the_type_asked_for(tmp_path: Path) -> None:
    source = small_checkpoint(tmp_path / "source", dtype="BF16")
    format = MODES["mxfp8"]
    convert(source, tmp_path / "quantised", recipe=uniform(format))
    stored_tensors = StoredTensors(read_headers(tmp_path / "quantised"))
    tensors = DequantisedTensors(stored_tensors, {"projector.linear": format}, "float32")
    matrix = tensors.read("projector.linear.weight")
    original = stored(source)["projector.linear.weight"].astype(mx.float32)
    assert matrix.dtype == mx.float32
    assert mx.allclose(matrix, original, rtol=0.1, atol=0.05).item()
    assert "projector.linear.scales" not in tensors.tensors
    assert "projector.linear.bias" in tensors.tensors


def test_each_opener_refuses_the_other_kind(tmp_path: Path) -> None:
    source = small_checkpoint(tmp_path / "source")
    quantised = tmp_path / "quantised"
    convert(source, quantised, recipe="q8")
    with pytest.raises(ConversionError, match="quantised already"):
        open_floating(quantised, read_config(quantised))
    with pytest.raises(ConversionError, match="not quantised"):
        open_quantised(source, read_config(source))


@pytest.mark.parametrize("missing", ["language_model.model.norm.weight", HEAD])
def test_the_tensors_are_checked_against_the_config(tmp_path: Path, missing: str) -> None:
    tensors = published_tensors(CONFIG)
    del tensors[missing]
    source = small_checkpoint(tmp_path, tensors=tensors)
    with pytest.raises(CheckpointError, match=f"lacks the tensor {missing}"):
        open_floating(source, read_config(source))


@pytest.mark.parametrize("change", [0, 1])
def test_tied_heads_are_compared(tmp_path: Path, change: int) -> None:
    tensors = published_tensors(TIED)
    tensors[HEAD] = tensors[TABLE] * 1
    tensors[HEAD][-1, -1] += change
    source = small_checkpoint(tmp_path, config=TIED, tensors=tensors)
    opened = open_floating(source, read_config(source))
    if not change:
        check_tied_head(opened)
        return
    with pytest.raises(CheckpointError, match=r"lm_head\.weight differs"):
        check_tied_head(opened)


def test_the_files_are_named_once(tmp_path: Path) -> None:
    source = small_checkpoint(tmp_path, n_shards=3)
    assert open_floating(source, read_config(source)).paths == sorted(source.glob("model-*"))
