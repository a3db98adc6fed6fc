"""The tensors of a source checkpoint by their published names, read one at a time.

What a checkpoint needs before its tensors are plain floating ones (an adapter to merge, matrices
to dequantise) is a source around a source.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import mlx.core as mx

from granite_mlx.convert.adapter import (
    Updates,
    factor_names,
    merge,
    merged,
    read_adapted_headers,
)
from granite_mlx.convert.plan import FLOATING
from granite_mlx.errors import ConversionError
from granite_mlx.model.config import parse_config
from granite_mlx.model.quantisation import (
    QuantFormat,
    dequantise,
    quantise_modules,
    quantised_formats,
)
from granite_mlx.model.shards import TensorInfo, read_headers
from granite_mlx.model.speech_model import SpeechModel
from granite_mlx.model.stored import StoredTensors, TensorSource
from granite_mlx.model.weights import DTYPES, check_tensors, stored_dtype

MLX_DTYPES = {FLOATING[name]: dtype for name, dtype in DTYPES.items()}
"""MLX's types by safetensors' names of them."""


OpenSource = Callable[[Path, Mapping[str, Any]], TensorSource]
"""Opens a checkpoint's folder, given the content of its config.json; reads headers only."""


def open_floating(folder: Path, raw_config: Mapping[str, Any]) -> TensorSource:
    """The tensors of a checkpoint, none of which may be quantised.

    Raises:
        CheckpointError: the weights are missing or damaged, or do not fit config.json.
        ConversionError: they are quantised.
    """
    stored, formats = _open(folder, raw_config)
    if formats:
        (form, n_modules), *_ = Counter(formats.values()).most_common(1)
        raise ConversionError(
            f"{folder} is quantised already ({n_modules} matrices in {form.describe()}); convert "
            "from the floating checkpoint, or make a floating one of this with -d (in Python "
            "dequantise=True)."
        )
    return stored


def open_quantised(folder: Path, raw_config: Mapping[str, Any]) -> TensorSource:
    """The tensors of a quantised checkpoint, made floating.

    Raises:
        CheckpointError: the weights are missing or damaged, or do not fit config.json.
        ConversionError: they are not quantised.
    """
    stored, formats = _open(folder, raw_config)
    if not formats:
        raise ConversionError(f"{folder} is not quantised: there is nothing to dequantise.")
    return DequantisedTensors(stored, formats, stored_dtype(read_headers(folder)))


def open_as_floating(folder: Path, raw_config: Mapping[str, Any]) -> TensorSource:
    """The tensors of a checkpoint of either kind; matrices that are quantised come in float32.

    Raises:
        CheckpointError: the weights are missing or damaged, or do not fit config.json.
    """
    stored, formats = _open(folder, raw_config)
    return DequantisedTensors(stored, formats, "float32") if formats else stored


def _open(
    folder: Path, raw_config: Mapping[str, Any]
) -> tuple[TensorSource, Mapping[str, QuantFormat]]:
    """The tensors as they are stored, checked against config.json, and how they are quantised."""
    headers, updates = read_adapted_headers(folder)
    config = parse_config(raw_config)
    formats = quantised_formats(config.quantisation, headers)
    model = SpeechModel(config)
    quantise_modules(model, formats)
    check_tensors(model, headers, merged(updates))
    stored = StoredTensors(headers)
    return MergedTensors(stored, updates) if updates else stored, formats


class MergedTensors:
    """The tensors of a checkpoint with its adapter merged into the matrices that it changes.

    Those come in float32, whatever `tensors` says, so that who stores them rounds them once.
    """

    def __init__(self, stored: TensorSource, updates: Updates) -> None:
        self._stored, self._updates = stored, updates
        self.paths = stored.paths
        factors = {factor for name in updates for factor in factor_names(name)}
        self.tensors = {name: info for name, info in stored.tensors.items() if name not in factors}

    def read(self, name: str) -> mx.array:
        """One tensor; one that the adapter changes is merged."""
        weight, update = self._stored.read(name), self._updates.get(name)
        if update is None:
            return weight
        a, b = map(self._stored.read, factor_names(name))
        return merge(weight, a, b, update.scale)


class DequantisedTensors:
    """The tensors of a quantised checkpoint, with its matrices as floating ones."""

    def __init__(
        self, stored: TensorSource, formats: Mapping[str, QuantFormat], dtype: str
    ) -> None:
        """`formats` has the quantised matrices by module path; `dtype` ("bfloat16") is theirs."""
        self._stored, self._formats, self._dtype = stored, formats, dtype
        self.paths = stored.paths
        self._parts = {module: _parts(module, stored.tensors) for module in formats}
        packed = {name for parts in self._parts.values() for name in parts.values()}
        self.tensors = {
            name: info for name, info in stored.tensors.items() if name not in packed
        } | {f"{module}.weight": self._floating(module) for module in formats}

    def read(self, name: str) -> mx.array:
        """One tensor; a quantised matrix is dequantised."""
        module = name.removesuffix(".weight")
        if module not in self._formats:
            return self._stored.read(name)
        parts = {part: self._stored.read(stored) for part, stored in self._parts[module].items()}
        return dequantise(parts, self._formats[module], DTYPES[self._dtype])

    def _floating(self, module: str) -> TensorInfo:
        packed = self._stored.tensors[f"{module}.weight"]
        shape = self._formats[module].unpacked(packed.shape)
        return replace(packed, dtype=FLOATING[self._dtype], shape=shape)


def _parts(module: str, tensors: Mapping[str, TensorInfo]) -> dict[str, str]:
    """{"weight": "encoder.out.weight", ...} of what a quantised matrix is stored as."""
    names = {part: f"{module}.{part}" for part in ("weight", "scales", "biases")}
    return {part: name for part, name in names.items() if name in tensors}
