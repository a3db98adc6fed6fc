import itertools
from dataclasses import asdict
from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mlx import nn

from granite_mlx.errors import CheckpointError, UnsupportedModelError
from granite_mlx.model.config import parse_config
from granite_mlx.model.quantisation import (
    MODES,
    QuantFormat,
    Quantisation,
    dequantise,
    parse_quantisation,
    quantise,
    quantised_formats,
)
from granite_mlx.model.shards import TensorInfo, read_headers

from .quantised import EVERY_FORMAT, HEAD, Q8, Q_PROJ
from .tiny import CONFIG, LAYOUTS, renamed, write_weights


def weights(n_rows: int, n_columns: int, seed: int = 7) -> mx.array:
    return mx.array(np.random.default_rng(seed).normal(size=(n_rows, n_columns)), mx.float32)


# Formats


def formats_of_mlx() -> set[tuple[str, int, int]]:
    """What the installed MLX quantises with, found by trying."""
    found = set()
    sizes = (8, 16, 32, 64, 128, 256)
    for mode, bits, group_size in itertools.product(MODES, range(1, 10), sizes):
        try:
            mx.eval(mx.quantize(weights(1, 256), group_size, bits, mode=mode))
        except ValueError:
            continue
        found.add((mode, bits, group_size))
    return found


def formats_of_ours() -> set[tuple[str, int, int]]:
    found = set()
    for mode, bits, group_size in itertools.product(MODES, range(10), range(300)):
        try:
            QuantFormat(bits, group_size, mode)
        except ValueError:
            continue
        found.add((mode, bits, group_size))
    return found


def test_formats_are_those_of_mlx() -> None:
    ours, mlx = formats_of_ours(), formats_of_mlx()
    assert ours <= mlx
    assert {(mode, bits) for mode, bits, _ in mlx - ours} <= {("affine", 1)}  # not in MLX 0.32.0


@pytest.mark.parametrize("mode", MODES)
def test_defaults_are_those_of_mlx(mode: str) -> None:
    module = nn.Linear(128, 2).to_quantized(mode=mode)
    assert QuantFormat(module.bits, module.group_size, module.mode) == MODES[mode]


@pytest.mark.parametrize(
    ("bits", "group_size", "mode", "message"),
    [
        (7, 64, "affine", "2, 3, 4, 5, 6 or 8 bits and groups of 32, 64 or 128, not 7 bits"),
        (8, 256, "affine", "not 8 bits and groups of 256"),
        (4, 64, "mxfp4", "mxfp4 has 4 bits and groups of 32, not 4 bits and groups of 64"),
        (8, 16, "nvfp4", "nvfp4 has 4 bits and groups of 16"),
        (4, 64, "q4_0", "no mode 'q4_0'; MLX has affine, mxfp4, mxfp8 or nvfp4"),
    ],
)
def test_formats_that_mlx_has_not(bits: int, group_size: int, mode: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        QuantFormat(bits, group_size, mode)


def test_a_format_in_words() -> None:
    assert QuantFormat(8, 64).describe() == "affine 8 bits, groups of 64"


@EVERY_FORMAT
@settings(deadline=None, max_examples=40)
@given(n_rows=st.integers(1, 3), n_columns=st.integers(1, 400))
def test_what_fits_can_be_quantised(format: QuantFormat, n_rows: int, n_columns: int) -> None:
    if format.fits((n_rows, n_columns)):
        mx.eval(quantise(weights(n_rows, n_columns), format))
    else:
        # A row by itself must be storable too: conversions go through matrices in parts.
        assert n_columns % format.group_size or n_columns % 32


@pytest.mark.parametrize("n_columns", [64, 128, 160, 192, 1024, 2048])
def test_what_fits(n_columns: int) -> None:
    assert Q8.fits((3, n_columns)) is (n_columns != 160)
    assert MODES["nvfp4"].fits((3, n_columns))


@pytest.mark.parametrize("shape", [(64,), (2, 3, 64), (64, 1, 15), ()])
def test_only_matrices_fit(shape: tuple[int, ...]) -> None:
    assert not Q8.fits(shape)


@EVERY_FORMAT
@pytest.mark.parametrize(
    ("dtype", "stored_dtype"), [(mx.float32, "F32"), (mx.float16, "F16"), (mx.bfloat16, "BF16")]
)
def test_stored_parts_are_foretold(
    tmp_path: Path, format: QuantFormat, dtype: mx.Dtype, stored_dtype: str
) -> None:
    write_weights(tmp_path, quantise(weights(5, 384).astype(dtype), format))
    found = {name: (info.dtype, info.shape) for name, info in read_headers(tmp_path).items()}
    assert format.stored((5, 384), stored_dtype) == found


# Values


def test_affine_weights_are_scale_times_integer_plus_bias() -> None:
    matrix = weights(3, 128)
    parts = {name: np.array(array) for name, array in quantise(matrix, Q8).items()}
    integers = parts["weight"].view(np.uint8).reshape(3, 2, 64).astype(np.float32)
    stored = integers * parts["scales"][..., None] + parts["biases"][..., None]
    np.testing.assert_array_equal(
        np.array(dequantise(quantise(matrix, Q8), Q8, mx.float32)), stored.reshape(3, 128)
    )
    half_a_step = abs(parts["scales"])[..., None] / 2
    assert (abs(stored - np.array(matrix).reshape(3, 2, 64)) <= half_a_step * 1.02).all()


@EVERY_FORMAT
@pytest.mark.parametrize("dtype", [mx.float32, mx.float16, mx.bfloat16])
def test_dequantised_as_mlx_does_it(format: QuantFormat, dtype: mx.Dtype) -> None:
    parts = quantise(weights(5, 384).astype(dtype), format)
    found = dequantise(parts, format, dtype)
    assert found.dtype == dtype
    assert mx.array_equal(found, mx.dequantize(*parts.values(), **asdict(format), dtype=dtype))


@EVERY_FORMAT
def test_dequantised_to_what_the_modules_of_that_type_multiply_by(format: QuantFormat) -> None:
    parts = quantise(weights(5, 384).astype(mx.bfloat16), format)
    cast = {
        name: array.astype(mx.float32) if array.dtype == mx.bfloat16 else array
        for name, array in parts.items()
    }
    product = mx.quantized_matmul(
        mx.eye(384), *cast.values(), transpose=True, **asdict(format)
    )  # each row of the identity picks a column
    assert mx.allclose(dequantise(parts, format, mx.float32), product.T, rtol=1e-6, atol=1e-7)


def test_more_bits_lose_less() -> None:
    matrix = weights(8, 256)
    errors = [
        mx.abs(dequantise(quantise(matrix, format), format, mx.float32) - matrix).mean().item()
        for format in (QuantFormat(bits, 64) for bits in (2, 3, 4, 5, 6, 8))
    ]
    assert errors == sorted(errors, reverse=True)


# config.json


def parsed(**quantization: Any) -> Quantisation:
    result = parse_quantisation({"quantization": quantization})
    assert result is not None
    return result


@pytest.mark.parametrize("raw", [{}, {"quantization": None, "quantization_config": None}])
def test_no_quantisation(raw: dict[str, Any]) -> None:
    assert parse_quantisation(raw) is None
    assert parse_config({**CONFIG, **raw}).quantisation is None


@pytest.mark.parametrize("key", ["quantization", "quantization_config"])
def test_either_key_serves(key: str) -> None:
    config = parse_config({**CONFIG, key: {"bits": 8, "group_size": 64}})
    assert config.quantisation == Quantisation(QuantFormat(8, 64, "affine"), {})


def test_the_name_of_mlx_comes_first() -> None:
    raw = {
        "quantization_config": {"bits": 4, "group_size": 64},
        "quantization": {"bits": 8, "group_size": 64},
    }
    found = parse_quantisation(raw)
    assert found is not None
    assert found.default.bits == 8


def test_overrides() -> None:
    found = parsed(
        group_size=64,
        bits=4,
        mode="affine",
        **{
            HEAD: {"group_size": 32, "bits": 8, "mode": "affine"},
            "encoder.layers.0.ff1.up_proj": {"mode": "mxfp8"},
            "encoder.layers.0.ff1.down_proj": {"bits": 6},
            "encoder.layers.0.ff2.up_proj": False,
            "encoder.layers.0.ff2.down_proj": True,
        },
    )
    assert found.of(Q_PROJ) == QuantFormat(4, 64)
    assert found.of(HEAD) == QuantFormat(8, 32)
    assert found.of("encoder.layers.0.ff1.up_proj") == QuantFormat(8, 32, "mxfp8")
    assert found.of("encoder.layers.0.ff1.down_proj") == QuantFormat(6, 64)
    assert found.of("encoder.layers.0.ff2.up_proj") is None
    assert found.of("encoder.layers.0.ff2.down_proj") == QuantFormat(4, 64)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("module", [Q_PROJ, HEAD, "encoder.out_mid", "projector.linear"])
def test_overrides_may_have_the_names_of_another_layout(layout: str, module: str) -> None:
    written = renamed(f"{module}.weight", layout).removesuffix(".weight")
    found = parsed(group_size=64, bits=4, **{written: {"bits": 8, "group_size": 32}})
    assert found.of(module) == QuantFormat(8, 32)


@pytest.mark.parametrize("key", ["quantization", "quantization_config"])
@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({}, r"KEY\.bits is missing"),
        ({"bits": 8}, r"KEY\.group_size is missing"),
        ({"group_size": 64, "bits": None}, r"KEY\.bits is missing"),
        ({"group_size": 64, "bits": "8"}, r"KEY\.bits must be an integer, not '8'"),
        ({"group_size": True, "bits": 8}, r"KEY\.group_size must be an integer, not True"),
        ({"group_size": 64, "bits": 8.0}, r"KEY\.bits must be an integer, not 8\.0"),
        ({"group_size": 64, "bits": 7}, r"KEY: the mode affine has .*, not 7 bits"),
        ({"group_size": 64, "bits": 4, "mode": "mxfp4"}, r"KEY: the mode mxfp4 .*groups of 64"),
        ({"group_size": 64, "bits": 4, "mode": "gguf"}, r"KEY\.mode must be affine, .*'gguf'"),
        ({"group_size": 64, "bits": 4, "mode": ["affine"]}, r"KEY\.mode must be"),
        ([8, 64], "KEY must be an object"),
        ("q8", "KEY must be an object"),
        (8, "KEY must be an object"),
        (False, "KEY must be an object"),
    ],
)
def test_wrong_settings_are_named(key: str, value: Any, message: str) -> None:
    with pytest.raises(CheckpointError, match=message.replace("KEY", f"config.json: {key}")):
        parse_config({**CONFIG, key: value})


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (4, "must be false or an object with bits, group_size and mode, not 4"),
        ("affine", "must be false or an object"),
        (None, "must be false or an object"),
        ([], "must be false or an object"),
        ({"bits": 7}, ": the mode affine has .*, not 7 bits and groups of 64"),
        ({"mode": "fp4"}, r"\.mode must be affine"),
        ({"bits": 4, "group_size": "32"}, r"\.group_size must be an integer"),
    ],
)
def test_wrong_overrides_are_named(value: Any, message: str) -> None:
    with pytest.raises(CheckpointError, match=rf"config\.json: quantization\.{Q_PROJ}.*{message}"):
        parsed(group_size=64, bits=8, **{Q_PROJ: value})


def test_other_packages_ways_of_quantising() -> None:
    raw = {"quantization_config": {"quant_method": "bitsandbytes", "load_in_4bit": True}}
    with pytest.raises(UnsupportedModelError, match=r"quant_method is 'bitsandbytes'.*bf16"):
        parse_quantisation(raw)


# Headers


def headers(**dtypes: str) -> dict[str, TensorInfo]:
    path = Path("model.safetensors")
    return {name: TensorInfo(name, dtype, (2, 2), path) for name, dtype in dtypes.items()}


QUANTISED = {f"{Q_PROJ}.weight": "U32", f"{Q_PROJ}.scales": "BF16", f"{Q_PROJ}.biases": "BF16"}


def test_modules_are_quantised_where_their_scales_are() -> None:
    quantisation = Quantisation(Q8, {HEAD: QuantFormat(4, 32), "encoder.out": QuantFormat(2, 32)})
    found = headers(
        **QUANTISED,
        **{f"{HEAD}.weight": "U32", f"{HEAD}.scales": "BF16", "encoder.out.weight": "BF16"},
    )
    assert quantised_formats(quantisation, found) == {Q_PROJ: Q8, HEAD: QuantFormat(4, 32)}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_formats_have_published_names(layout: str) -> None:
    found = headers(**{renamed(name, layout): dtype for name, dtype in QUANTISED.items()})
    assert quantised_formats(Quantisation(Q8, {}), found) == {Q_PROJ: Q8}


def test_nothing_is_quantised() -> None:
    floating = headers(**{f"{Q_PROJ}.weight": "BF16"})
    assert quantised_formats(None, floating) == {}
    assert quantised_formats(Quantisation(Q8, {}), floating) == {}


def test_scales_without_quantization_in_the_config() -> None:
    message = rf"model\.safetensors: {Q_PROJ}\.scales .* config\.json has no quantization"
    with pytest.raises(CheckpointError, match=message):
        quantised_formats(None, headers(**QUANTISED))


def test_scales_of_a_module_that_shall_be_floating() -> None:
    message = rf"model\.safetensors: {Q_PROJ}\.scales .* has false for {Q_PROJ}"
    with pytest.raises(CheckpointError, match=message):
        quantised_formats(Quantisation(Q8, {Q_PROJ: None}), headers(**QUANTISED))


@pytest.mark.parametrize("quantisation", [None, Quantisation(Q8, {})])
def test_packed_integers_without_scales(quantisation: Quantisation | None) -> None:
    found = headers(**QUANTISED)
    del found[f"{Q_PROJ}.scales"]
    message = rf"{Q_PROJ}\.weight holds packed integers, .* lacks the tensor {Q_PROJ}\.scales"
    with pytest.raises(CheckpointError, match=message):
        quantised_formats(quantisation, found)
