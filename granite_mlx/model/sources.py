"""What each of our tensors is made of: the stored ones that it needs, and how it comes of them.

A `SourceOf` decides that. It is handed to those who check and read checkpoints, which know neither
layouts nor formats.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import mlx.core as mx

from granite_mlx.convert import port
from granite_mlx.model.quantisation import QuantFormat, cast, dequantise

_FLOATING = ("BF16", "F16", "F32")
_PACKED = {mx.uint32: ("U32",), mx.uint8: ("U8",)}
"""Our type -> safetensors' name of it, for the integers that quantised matrices are made of."""


@dataclass(frozen=True)
class Wanted:
    """A stored tensor that is needed, with the shapes and safetensors types that it may have."""

    shapes: tuple[port.Shape, ...]
    dtypes: tuple[str, ...]


@dataclass(frozen=True)
class Source:
    """What one of our tensors is made of.

    `make` takes the stored tensors that `wanted` names, by their published names, and the floating
    type that the model is to have.
    """

    wanted: Mapping[str, Wanted]
    make: Callable[[Mapping[str, mx.array], mx.Dtype], mx.array]


SourceOf = Callable[[str, mx.array], Source]
"""From the name of one of our tensors, and a lazy array of its shape and type, to its source."""


def ported(ours: str, array: mx.array) -> Source:
    """The source of a tensor that is stored as it is computed with, be it floating or packed."""
    shape = tuple(array.shape)
    names = port.sources(ours, shape)
    dtypes = _PACKED.get(array.dtype, _FLOATING)

    def make(tensors: Mapping[str, mx.array], dtype: mx.Dtype) -> mx.array:
        return cast(port.assemble(ours, shape, tensors), dtype)

    return Source({name: Wanted(shapes, dtypes) for name, shapes in names.items()}, make)


def dequantised(formats: Mapping[str, QuantFormat]) -> SourceOf:
    """Sources for a model of floating modules, from a checkpoint that stores some quantised.

    `formats` has those by their published paths, as `quantised_formats` finds them.
    """

    def source_of(ours: str, array: mx.array) -> Source:
        module, _, part = ours.rpartition(".")
        if part != "weight" or module not in formats or array.ndim != 2:
            return ported(ours, array)
        return _quantised_matrix(module, tuple(array.shape), formats[module])

    return source_of


def _quantised_matrix(module: str, shape: port.Shape, format: QuantFormat) -> Source:
    """The source of a floating matrix that is stored quantised."""
    parts = {f"{module}.{part}": stored for part, stored in format.stored(shape, "F32").items()}
    wanted = {
        name: Wanted((stored_shape,), _FLOATING if dtype == "F32" else (dtype,))
        for name, (dtype, stored_shape) in parts.items()
    }

    def make(tensors: Mapping[str, mx.array], dtype: mx.Dtype) -> mx.array:
        return dequantise({name.rpartition(".")[2]: tensors[name] for name in parts}, format, dtype)

    return Source(wanted, make)
