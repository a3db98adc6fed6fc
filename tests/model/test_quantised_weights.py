"""Folders with quantised matrices, loaded as a network that computes with them as they are."""

import functools
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np
import pytest

from granite_mlx.model.cache import DecoderCache
from granite_mlx.model.config import parse_config
from granite_mlx.model.quantisation import (
    MODES,
    QuantFormat,
    quantise_modules,
    quantised_formats,
)
from granite_mlx.model.shards import read_headers
from granite_mlx.model.speech_model import SpeechModel
from granite_mlx.model.weights import DTYPES, stored_dtype, weights_bytes
from granite_mlx.selftest.random_weights import uniform

from .quantised import (
    EVERY_FORMAT,
    EVERY_MODE,
    HEAD,
    PARTS,
    Q8,
    Q_PROJ,
    QUANTISABLE,
    TABLE,
    TIED,
    UP_CONV,
    dequantised_tensors,
    floating_tensors,
    in_config,
    loaded,
    loaded_floating,
    network_of,
    quantisable,
    quantised_tensors,
    write_quantised,
)
from .test_weights import assert_same
from .tiny import LAYOUTS, renamed, write_checkpoint


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


@pytest.mark.slow
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
