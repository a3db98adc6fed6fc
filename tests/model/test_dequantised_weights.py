"""Folders with quantised matrices, loaded as a network of floating ones."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import mlx.core as mx

from granite_mlx.model.quantisation import QuantFormat
from granite_mlx.model.weights import DTYPES

from .quantised import (
    EVERY_FORMAT,
    EVERY_MODE,
    PARTS,
    Q8,
    Q_PROJ,
    QUANTISABLE,
    TIED,
    dequantised_tensors,
    floating_tensors,
    loaded_floating,
    network_of,
    write_quantised,
)
from .test_weights import assert_same
from .tiny import write_checkpoint


def assert_dequantised(
    folder: Path, format: QuantFormat, config: dict[str, Any], stored: str, dtype: str
) -> None:
    formats = write_quantised(folder, format, config=config, dtype=stored, n_shards=2)
    model = loaded_floating(folder)
    assert {array.dtype for _, array in model.named_parameters()} == {DTYPES[dtype]}
    tensors = dequantised_tensors(floating_tensors(config, stored), formats)
    named = dict(model.named_parameters())
    for module in formats:
        found = named[f"{module}.weight"]
        assert mx.array_equal(found, tensors[f"{module}.weight"].reshape(found.shape)), module


@EVERY_FORMAT
def test_dequantised(tmp_path: Path, format: QuantFormat) -> None:
    assert_dequantised(tmp_path, format, QUANTISABLE, "F32", "float32")


@EVERY_MODE
def test_dequantised_with_a_tied_head(tmp_path: Path, format: QuantFormat) -> None:
    assert_dequantised(tmp_path, format, TIED, "BF16", "bfloat16")


def test_dequantised_in_another_type(tmp_path: Path) -> None:
    write_quantised(tmp_path, Q8, dtype="BF16")
    stored = mx.load(str(tmp_path / "model.safetensors"))
    parts = [stored[f"{Q_PROJ}.{part}"] for part in PARTS]
    packed, scales, biases = parts[0], *(part.astype(mx.float32) for part in parts[1:])
    wanted = mx.dequantize(packed, scales, biases, **asdict(Q8))
    found = dict(loaded_floating(tmp_path, "float32").named_parameters())
    assert mx.array_equal(found[f"{Q_PROJ}.weight"], wanted)


def test_a_floating_folder_needs_no_dequantising(tmp_path: Path) -> None:
    write_checkpoint(tmp_path, config=QUANTISABLE, tensors=floating_tensors())
    assert_same(loaded_floating(tmp_path), network_of(floating_tensors(), QUANTISABLE))
