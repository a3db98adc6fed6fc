"""Quantised checkpoints: a tiny model whose matrices can be quantised, and how one is written and
loaded."""

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import mlx.core as mx
import pytest

from granite_mlx.convert import port
from granite_mlx.errors import CheckpointError
from granite_mlx.model import weights
from granite_mlx.model.config import parse_config
from granite_mlx.model.quantisation import (
    MODES,
    QuantFormat,
    quantise,
    quantise_modules,
    quantised_formats,
)
from granite_mlx.model.shards import read_headers
from granite_mlx.model.sources import dequantised
from granite_mlx.model.speech_model import SpeechModel

from .tiny import CONFIG, DTYPES, changed, published_tensors, write_checkpoint

QUANTISABLE: dict[str, Any] = CONFIG | {
    "encoder_config": CONFIG["encoder_config"]
    | {"hidden_dim": 128, "feedforward_mult": 2, "num_heads": 4, "dim_head": 32},
    "projector_config": CONFIG["projector_config"]
    | {"hidden_size": 64, "num_attention_heads": 4, "intermediate_size": 96}
    | {"encoder_hidden_size": 128},
    "text_config": CONFIG["text_config"]
    | {"hidden_size": 192, "intermediate_size": 256, "num_attention_heads": 6}
    | {"attention_multiplier": 0.2},
}
"""Rows of 64, 96, 128, 160, 192 and 256, so that each group size fits some and most fit many."""

FORMATS = [
    *(QuantFormat(bits, 64) for bits in (2, 3, 4, 5, 6, 8)),
    QuantFormat(4, 32),
    QuantFormat(8, 128),
    *(format for mode, format in MODES.items() if mode != "affine"),
]
"""Every width of the affine mode, every group size, and every other mode."""

NEVER = ("rel_pos_emb", "depth_conv.conv")

TIED = changed("tie_word_embeddings", True, QUANTISABLE)
HEAD = "language_model.lm_head"
TABLE = "language_model.model.embed_tokens"
Q_PROJ = "language_model.model.layers.1.self_attn.q_proj"
UP_CONV = "encoder.layers.1.conv.up_conv"
PARTS = ("weight", "scales", "biases")
Q8 = QuantFormat(8, 64)

EVERY_FORMAT = pytest.mark.parametrize("format", FORMATS, ids=QuantFormat.describe)
EVERY_MODE = pytest.mark.parametrize("format", MODES.values(), ids=MODES)


def quantisable(tensors: Mapping[str, mx.array], format: QuantFormat) -> dict[str, QuantFormat]:
    """Every matrix among published tensors that fits a format, by its module path."""
    return {
        name.removesuffix(".weight"): format
        for name, array in tensors.items()
        if name.endswith(".weight")
        and not name.removesuffix(".weight").endswith(NEVER)
        and format.fits(as_matrix(name, array).shape)
    }


def as_matrix(name: str, array: mx.array) -> mx.array:
    """A published tensor without the third axis of a 1x1 convolution."""
    return array.reshape(array.shape[0], -1) if port.is_pointwise(name) else array


def quantised_tensors(
    tensors: Mapping[str, mx.array], formats: Mapping[str, QuantFormat]
) -> dict[str, mx.array]:
    """Published tensors with the matrices of `formats` in their stored parts."""
    stored: dict[str, mx.array] = {}
    for name, array in tensors.items():
        module = name.removesuffix(".weight")
        if module in formats and module != name:
            parts = quantise(as_matrix(name, array), formats[module])
            stored |= {f"{module}.{part}": values for part, values in parts.items()}
        else:
            stored[name] = array
    return stored


def dequantised_tensors(
    tensors: Mapping[str, mx.array], formats: Mapping[str, QuantFormat]
) -> dict[str, mx.array]:
    """What `quantised_tensors` stand for, as MLX itself computes it from their stored parts."""
    floating = dict(tensors)
    stored = quantised_tensors(tensors, formats)
    for module, format in formats.items():
        parts = [stored[f"{module}.{part}"] for part in PARTS if f"{module}.{part}" in stored]
        original = tensors[f"{module}.weight"]
        matrix = mx.dequantize(*parts, **asdict(format), dtype=original.dtype)
        floating[f"{module}.weight"] = matrix.reshape(original.shape)
    return floating


def in_config(
    formats: Mapping[str, QuantFormat | None], config: Mapping[str, Any] = QUANTISABLE
) -> dict[str, Any]:
    """A config.json that gives each module its format; the first one is that of all others."""
    default = next(format for format in formats.values() if format is not None)
    overrides = {
        module: asdict(format) if format is not None else False
        for module, format in formats.items()
        if format != default
    }
    quantization = {**asdict(default), **overrides}
    return {**config, "quantization": quantization, "quantization_config": quantization}


def write_quantised(
    folder: Path,
    format: QuantFormat,
    *,
    config: Mapping[str, Any] = QUANTISABLE,
    dtype: str = "F32",
    **options: Any,
) -> dict[str, QuantFormat]:
    """Write the tiny model with all that fits in one format; returns the formats."""
    tensors = floating_tensors(config, dtype)
    formats = quantisable(tensors, format)
    stored = quantised_tensors(tensors, formats)
    write_checkpoint(
        folder, config=in_config(formats, config), tensors=stored, dtype=dtype, **options
    )
    return formats


def floating_tensors(
    config: Mapping[str, Any] = QUANTISABLE, dtype: str = "F32"
) -> dict[str, mx.array]:
    """The tiny model's published tensors in a floating type."""
    return {
        name: array.astype(DTYPES[dtype]) if array.ndim else array
        for name, array in published_tensors(config).items()
    }


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


def loaded(folder: Path, dtype: str | None = None) -> SpeechModel:
    """The network in a folder, quantised as it is stored, as `granite_mlx.load` reads it."""
    config = parse_config(json.loads((folder / "config.json").read_text()))
    headers = read_headers(folder)
    model = SpeechModel(config)
    quantise_modules(model, quantised_formats(config.quantisation, headers))
    weights.check_tensors(model, headers)
    weights.load_weights(model, headers, weights.DTYPES[dtype or weights.stored_dtype(headers)])
    return model


def loaded_floating(folder: Path, dtype: str | None = None) -> SpeechModel:
    """The network in a folder with floating modules only."""
    config = parse_config(json.loads((folder / "config.json").read_text()))
    headers = read_headers(folder)
    model = SpeechModel(config)
    source_of = dequantised(quantised_formats(config.quantisation, headers))
    weights.check_tensors(model, headers, source_of)
    weights.load_weights(
        model, headers, weights.DTYPES[dtype or weights.stored_dtype(headers)], source_of
    )
    return model


def refused(folder: Path, load: Any = loaded) -> str:
    """The message of the error that a folder is refused with."""
    with pytest.raises(CheckpointError) as caught:
        load(folder)
    return str(caught.value)


BOTH = pytest.mark.parametrize("load", [loaded, loaded_floating])
"""The two ways to load."""


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
