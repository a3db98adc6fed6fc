"""Folders with quantised matrices, as a quantised network and as a floating one."""

import functools
import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np
import pytest

from granite_mlx.convert import port
from granite_mlx.errors import CheckpointError
from granite_mlx.model.cache import DecoderCache
from granite_mlx.model.config import parse_config
from granite_mlx.model.quantisation import (
    MODES,
    QuantFormat,
    quantise_modules,
    quantised_formats,
)
from granite_mlx.model.shards import read_headers
from granite_mlx.model.sources import dequantised
from granite_mlx.model.speech_model import SpeechModel
from granite_mlx.model.weights import (
    DTYPES,
    check_tensors,
    load_weights,
    stored_dtype,
    weights_bytes,
)
from granite_mlx.selftest.random_weights import uniform

from .quantised import (
    FORMATS,
    QUANTISABLE,
    dequantised_tensors,
    floating_tensors,
    in_config,
    quantisable,
    quantised_tensors,
    write_quantised,
)
from .test_weights import assert_same
from .tiny import LAYOUTS, changed, renamed, write_checkpoint

TIED = changed("tie_word_embeddings", True, QUANTISABLE)
HEAD = "language_model.lm_head"
TABLE = "language_model.model.embed_tokens"
Q_PROJ = "language_model.model.layers.1.self_attn.q_proj"
UP_CONV = "encoder.layers.1.conv.up_conv"
Q8 = QuantFormat(8, 64)
EVERY_FORMAT = pytest.mark.parametrize("format", FORMATS, ids=QuantFormat.describe)
EVERY_MODE = pytest.mark.parametrize("format", MODES.values(), ids=MODES)
PARTS = ("weight", "scales", "biases")


def loaded(folder: Path, dtype: str | None = None) -> SpeechModel:
    """The network in a folder, quantised as it is stored, as `granite_mlx.load` reads it."""
    config = parse_config(json.loads((folder / "config.json").read_text()))
    headers = read_headers(folder)
    model = SpeechModel(config)
    quantise_modules(model, quantised_formats(config.quantisation, headers))
    check_tensors(model, headers)
    load_weights(model, headers, DTYPES[dtype or stored_dtype(headers)])
    return model


def loaded_floating(folder: Path, dtype: str | None = None) -> SpeechModel:
    """The network in a folder with floating modules only."""
    config = parse_config(json.loads((folder / "config.json").read_text()))
    headers = read_headers(folder)
    model = SpeechModel(config)
    source_of = dequantised(quantised_formats(config.quantisation, headers))
    check_tensors(model, headers, source_of)
    load_weights(model, headers, DTYPES[dtype or stored_dtype(headers)], source_of)
    return model


def refused(folder: Path, load: Any = loaded) -> str:
    """The message of the error that a folder is refused with."""
    with pytest.raises(CheckpointError) as caught:
        load(folder)
    return str(caught.value)


def outputs(model: SpeechModel) -> dict[str, np.ndarray]:
    """What each room of a network computes from the same input."""
    features = mx.array(uniform("features", (1, 23, 160))).astype(model.dtype)
    encoded = model.encoder(features)
    audio = model.projector(encoded.frames)
    decoder = model.language_model
    text = decoder.embed(mx.array([[5, 300, 17]]))
    embeddings = mx.concatenate([audio, text], axis=1)
    cache = DecoderCache(parse_config(QUANTISABLE).text, model.dtype, 1, embeddings.shape[1])
    hidden = decoder(embeddings, cache)
    arrays = {
        "frames": encoded.frames,
        "mid_logits": encoded.mid_logits,
        "audio": audio,
        "text": text,
        "hidden": hidden,
        "logits": decoder.logits(hidden),
    }
    assert {name: a.dtype for name, a in arrays.items()} == dict.fromkeys(arrays, model.dtype)
    return {name: np.array(array.astype(mx.float32)) for name, array in arrays.items()}


def assert_close(found: Mapping[str, np.ndarray], wanted: Mapping[str, np.ndarray]) -> None:
    for name, array in wanted.items():
        error = np.abs(found[name] - array).max() / np.abs(array).max()
        assert error < 1e-4, f"{name}: {error}"


@functools.cache
def unquantised() -> dict[str, np.ndarray]:
    return outputs(network_of(floating_tensors(), QUANTISABLE))


def network_of(tensors: Mapping[str, mx.array], config: Mapping[str, Any]) -> SpeechModel:
    """A floating network of published tensors, made without the functions under test."""
    model = SpeechModel(parse_config(config))
    model.load_weights(
        [
            (ours, port.assemble(ours, tuple(array.shape), tensors))
            for ours, array in model.named_parameters()
        ]
    )
    return model


# What can be loaded


@EVERY_FORMAT
def test_every_format(tmp_path: Path, format: QuantFormat) -> None:
    formats = write_quantised(tmp_path, format)
    assert (TABLE in formats) == (HEAD in formats) == (format.group_size != 128)
    found = outputs(loaded(tmp_path))
    tensors = dequantised_tensors(floating_tensors(), formats)
    assert_close(found, outputs(network_of(tensors, QUANTISABLE)))
    assert np.abs(found["logits"] - unquantised()["logits"]).max() > 1e-4  # it matters at all


@EVERY_MODE
def test_tied_to_a_quantised_table(tmp_path: Path, format: QuantFormat) -> None:
    formats = write_quantised(tmp_path, format, config=TIED)
    assert TABLE in formats
    assert HEAD not in formats
    tensors = dequantised_tensors(floating_tensors(TIED), formats)
    assert_close(outputs(loaded(tmp_path)), outputs(network_of(tensors, TIED)))


@EVERY_MODE
@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
def test_parts_are_kept_as_they_are_stored(tmp_path: Path, format: QuantFormat, dtype: str) -> None:
    formats = write_quantised(tmp_path, format, dtype="BF16")
    stored = mx.load(str(tmp_path / "model.safetensors"))
    named = dict(loaded(tmp_path, dtype).named_parameters())
    for module in formats:
        assert mx.array_equal(named[f"{module}.weight"], stored[f"{module}.weight"]), module
        assert named[f"{module}.weight"].dtype == mx.uint32
        for part in ("scales", "biases"):
            name = f"{module}.{part}"
            assert (name in named) == (name in stored)
            if name in named:
                is_floating = format.mode == "affine"
                assert named[name].dtype == (DTYPES[dtype] if is_floating else mx.uint8)
                assert mx.array_equal(named[name], stored[name].astype(named[name].dtype)), name
    quantised_parts = {f"{module}.{part}" for module in formats for part in PARTS}
    floating = {array.dtype for name, array in named.items() if name not in quantised_parts}
    assert floating == {DTYPES[dtype]}


@EVERY_MODE
@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_all_that_is_computed_is_in_the_models_type(
    tmp_path: Path, format: QuantFormat, dtype: str
) -> None:
    write_quantised(tmp_path, format, config=TIED)
    outputs(loaded(tmp_path, dtype))  # which looks at each of them


def test_the_stored_type_is_that_of_what_floats(tmp_path: Path) -> None:
    write_quantised(tmp_path, MODES["mxfp4"], dtype="F16")
    assert stored_dtype(read_headers(tmp_path)) == "float16"
    assert loaded(tmp_path).dtype == mx.float16


MIXED: dict[str, QuantFormat | None] = {
    "encoder.layers.0.ff1.up_proj": Q8,
    "encoder.layers.0.ff1.down_proj": QuantFormat(4, 32),
    "encoder.input_linear": QuantFormat(6, 32),
    UP_CONV: QuantFormat(3, 128),
    "projector.linear": MODES["mxfp8"],
    Q_PROJ: MODES["nvfp4"],
    "language_model.model.layers.0.mlp.up_proj": None,
    TABLE: QuantFormat(5, 64),
    HEAD: MODES["mxfp4"],
}
"""A format of its own for each of some modules; the default is that of the first."""


def write_mixed(folder: Path, layout: str = "published", **options: Any) -> None:
    formats = {module: format for module, format in MIXED.items() if format is not None}
    config = in_config(
        {renamed(f"{module}.weight", layout)[:-7]: format for module, format in MIXED.items()}
    )
    tensors = quantised_tensors(floating_tensors(), formats)
    write_checkpoint(folder, config=config, tensors=tensors, layout=layout, **options)


@pytest.mark.parametrize("n_shards", [1, 3])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_format_for_each_module(tmp_path: Path, layout: str, n_shards: int) -> None:
    write_mixed(tmp_path, layout, n_shards=n_shards)
    formats = {module: format for module, format in MIXED.items() if format is not None}
    wanted = network_of(dequantised_tensors(floating_tensors(), formats), QUANTISABLE)
    assert_same(loaded_floating(tmp_path), wanted)
    assert_close(outputs(loaded(tmp_path)), outputs(wanted))


def test_convolutions_as_mlx_has_them(tmp_path: Path) -> None:
    tensors = {
        name: array.swapaxes(1, 2) if ".conv." in name and array.ndim == 3 else array
        for name, array in floating_tensors().items()
    }
    formats = quantisable(tensors, Q8)
    assert UP_CONV in formats
    stored = quantised_tensors(tensors, formats)
    assert stored[f"{UP_CONV}.weight"].ndim == 2
    assert stored["encoder.layers.1.conv.depth_conv.conv.weight"].shape[2] == 1
    write_checkpoint(tmp_path, config=in_config(formats), tensors=stored)
    assert_close(
        outputs(loaded(tmp_path)),
        outputs(network_of(dequantised_tensors(tensors, formats), QUANTISABLE)),
    )


@EVERY_MODE
def test_bytes_are_counted_from_shapes(tmp_path: Path, format: QuantFormat) -> None:
    write_quantised(tmp_path, format, dtype="BF16")
    config = parse_config(json.loads((tmp_path / "config.json").read_text()))
    model = SpeechModel(config)
    quantise_modules(model, quantised_formats(config.quantisation, read_headers(tmp_path)))
    counted = weights_bytes(model, mx.bfloat16)
    assert counted == sum(array.nbytes for _, array in loaded(tmp_path).named_parameters())
    assert counted < weights_bytes(SpeechModel(config), mx.bfloat16)


# A floating model of a quantised folder


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


# What is refused, tensor by tensor

BOTH = pytest.mark.parametrize("load", [loaded, loaded_floating])
MODULES = [UP_CONV, Q_PROJ, TABLE, HEAD]


def write_with(folder: Path, format: QuantFormat, edit: Mapping[str, mx.array | None]) -> None:
    """A quantised folder with some tensors replaced, or with None left out."""
    tensors = floating_tensors()
    formats = quantisable(tensors, format)
    stored = {**quantised_tensors(tensors, formats), **edit}
    write_checkpoint(
        folder,
        config=in_config(formats),
        tensors={name: array for name, array in stored.items() if array is not None},
    )


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
