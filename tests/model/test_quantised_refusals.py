"""Folders with quantised matrices that are refused, tensor by tensor."""

from pathlib import Path
from typing import Any

import mlx.core as mx
import pytest

from granite_mlx.model.quantisation import MODES, QuantFormat

from .quantised import (
    BOTH,
    HEAD,
    PARTS,
    Q8,
    Q_PROJ,
    QUANTISABLE,
    TABLE,
    UP_CONV,
    floating_tensors,
    in_config,
    quantised_tensors,
    refused,
    write_with,
)
from .tiny import write_checkpoint

MODULES = [UP_CONV, Q_PROJ, TABLE, HEAD]


@BOTH
@pytest.mark.parametrize("module", MODULES)
@pytest.mark.parametrize("part", PARTS)
def test_missing_parts_are_named(tmp_path: Path, load: Any, module: str, part: str) -> None:
    write_with(tmp_path, Q8, {f"{module}.{part}": None})
    assert f"lacks the tensor {module}.{part}" in refused(tmp_path, load)


@BOTH
@pytest.mark.parametrize("mode", ["mxfp4", "mxfp8", "nvfp4"])
def test_missing_parts_of_other_modes(tmp_path: Path, load: Any, mode: str) -> None:
    for part in ("weight", "scales"):
        write_with(tmp_path, MODES[mode], {f"{Q_PROJ}.{part}": None})
        assert f"lacks the tensor {Q_PROJ}.{part}" in refused(tmp_path, load)


@BOTH
def test_biases_that_a_mode_has_not(tmp_path: Path, load: Any) -> None:
    write_with(tmp_path, MODES["mxfp4"], {f"{Q_PROJ}.biases": mx.ones((192, 6))})
    assert f"{Q_PROJ}.biases is no part of the model" in refused(tmp_path, load)


@BOTH
@pytest.mark.parametrize("module", MODULES)
@pytest.mark.parametrize("part", PARTS)
def test_misshapen_parts_are_named(tmp_path: Path, load: Any, module: str, part: str) -> None:
    name = f"{module}.{part}"
    array = quantised_tensors(floating_tensors(), {module: Q8})[name]
    write_with(tmp_path, Q8, {name: mx.concatenate([array, array], axis=1)})
    n_rows, n_columns = array.shape
    message = refused(tmp_path, load)
    assert f"model.safetensors: {name} has the shape [{n_rows}, {2 * n_columns}]" in message
    assert f"asks for [{n_rows}, {n_columns}" in message


@BOTH
@pytest.mark.parametrize(
    ("stored", "told"),
    [(QuantFormat(4, 64), Q8), (QuantFormat(8, 32), Q8), (MODES["mxfp4"], QuantFormat(4, 32)),
     (QuantFormat(4, 32), MODES["mxfp4"]), (MODES["nvfp4"], MODES["mxfp4"])],
)  # fmt: skip
def test_another_format_than_config_tells(
    tmp_path: Path, load: Any, stored: QuantFormat, told: QuantFormat
) -> None:
    tensors = quantised_tensors(floating_tensors(), {Q_PROJ: stored})
    write_checkpoint(tmp_path, config=in_config({Q_PROJ: told}), tensors=tensors)
    assert Q_PROJ in refused(tmp_path, load)


@BOTH
@pytest.mark.parametrize(
    ("format", "part", "dtype", "wanted"),
    [
        (Q8, "weight", mx.int32, "only U32"),
        (Q8, "weight", mx.float32, "only U32"),
        (Q8, "scales", mx.uint8, "only BF16, F16 and F32"),
        (Q8, "biases", mx.int32, "only BF16, F16 and F32"),
        (MODES["mxfp8"], "weight", mx.uint8, "only U32"),
        (MODES["mxfp8"], "scales", mx.bfloat16, "only U8"),
    ],
)
def test_parts_of_a_wrong_type_are_named(
    tmp_path: Path, load: Any, format: QuantFormat, part: str, dtype: mx.Dtype, wanted: str
) -> None:
    name = f"{Q_PROJ}.{part}"
    array = quantised_tensors(floating_tensors(), {Q_PROJ: format})[name]
    write_with(tmp_path, format, {name: array.astype(dtype)})
    message = refused(tmp_path, load)
    assert f"model.safetensors: {name} is of type" in message
    assert f"{wanted} can be used" in message


@BOTH
def test_scales_without_quantization_in_the_config(tmp_path: Path, load: Any) -> None:
    tensors = quantised_tensors(floating_tensors(), {Q_PROJ: Q8})
    write_checkpoint(tmp_path, config=QUANTISABLE, tensors=tensors)
    message = refused(tmp_path, load)
    assert f"{Q_PROJ}.scales" in message
    assert "config.json has no quantization" in message


@BOTH
@pytest.mark.parametrize(
    "module",
    ["encoder.layers.0.conv.norm", "encoder.layers.3.ff1.up_proj", "lora",
     "encoder.layers.1.conv.depth_conv.conv"],
)  # fmt: skip
def test_scales_of_no_matrix_are_named(tmp_path: Path, load: Any, module: str) -> None:
    write_with(tmp_path, Q8, {f"{module}.scales": mx.ones((2, 2))})
    assert f"{module}.scales" in refused(tmp_path, load)


def test_a_width_that_does_not_divide(tmp_path: Path) -> None:
    write_with(tmp_path, Q8, {"encoder.input_linear.scales": mx.ones((128, 2))})
    message = refused(tmp_path)
    assert "encoder.input_linear.scales" in message
    assert "160 columns" in message
