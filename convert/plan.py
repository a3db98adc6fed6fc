"""What becomes of each tensor, decided from headers alone, before anything is read or written."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from granite_mlx.convert import port
from granite_mlx.convert.layout import GRANITE_MLX, Layout
from granite_mlx.convert.port import Shape
from granite_mlx.convert.recipes import Recipe
from granite_mlx.model import quantisation
from granite_mlx.model.quantisation import QuantFormat
from granite_mlx.model.shards import ITEM_BYTES, TensorInfo

FLOATING = {"float32": "F32", "float16": "F16", "bfloat16": "BF16"}
"""safetensors' names of the types that weights may have."""

_WEIGHT = ".weight"
HEAD = quantisation.HEAD + _WEIGHT

NEVER: tuple[tuple[str, str], ...] = (
    (".rel_pos_emb", "relative positions: a table whose rows are added to scores, and small"),
    ("encoder.out", "a CTC head: its probabilities are fed back into the encoder, and small"),
    ("encoder.out_mid", "what takes the CTC head's probabilities back in, and small"),
)
"""(end of a module path, reason) of the matrices that no recipe quantises."""


@dataclass(frozen=True)
class Fate:
    """What becomes of one tensor of the source.

    Attributes:
        name: its published name.
        dtype, shape: as the source has it, in safetensors' terms ("BF16").
        kept_dtype: the floating type that it has, or is quantised from, in the result.
        stored: tensor name -> (dtype, shape) in the result's files; empty where it is left out.
        format: how it is quantised; None where it stays floating or is left out.
        wanted: how the recipe would quantise it.
        reason: why, for people.
    """

    name: str
    dtype: str
    shape: Shape
    kept_dtype: str
    stored: Mapping[str, tuple[str, Shape]]
    format: QuantFormat | None = None
    wanted: QuantFormat | None = None
    reason: str = ""

    @property
    def module(self) -> str:
        """The module path of a matrix."""
        return self.name.removesuffix(_WEIGHT)

    @property
    def matrix(self) -> Shape | None:
        """(out, in) of a matrix, None for all other tensors."""
        return matrix_shape(self.name, self.shape)

    @property
    def source_bytes(self) -> int:
        """Bytes in the source."""
        return math.prod(self.shape) * ITEM_BYTES[self.dtype]

    @property
    def n_bytes(self) -> int:
        """Bytes in the result."""
        return sum(math.prod(shape) * ITEM_BYTES[dtype] for dtype, shape in self.stored.values())


@dataclass(frozen=True)
class Plan:
    """The fates of all tensors, in the source's order.

    `unused_patterns` are those of the recipe that fit no matrix, which may well be slips.
    """

    fates: tuple[Fate, ...]
    layout: Layout
    unused_patterns: tuple[str, ...] = ()

    @property
    def source_bytes(self) -> int:
        """Bytes of all tensors in the source."""
        return sum(fate.source_bytes for fate in self.fates)

    @property
    def n_bytes(self) -> int:
        """Bytes of all tensors in the result."""
        return sum(fate.n_bytes for fate in self.fates)

    @property
    def quantised(self) -> tuple[Fate, ...]:
        """The tensors that are quantised."""
        return tuple(fate for fate in self.fates if fate.format is not None)

    @property
    def misfits(self) -> tuple[Fate, ...]:
        """The tensors that stay floating although the recipe would quantise them."""
        return tuple(fate for fate in self.fates if fate.wanted and not fate.format)

    def leaves_out(self, name: str) -> bool:
        """Whether a tensor of the source has no place in the result."""
        return any(fate.name == name and not fate.stored for fate in self.fates)

    def quantization(self) -> dict[str, Any] | None:
        """config.json's "quantization" in mlx-lm's form, or None where nothing is quantised.

        The commonest format comes first; modules in another one are named.
        """
        formats = {
            self.layout.tensor_name(fate.name).removesuffix(_WEIGHT): fate.format
            for fate in self.quantised
        }
        if not formats:
            return None
        default = Counter(formats.values()).most_common(1)[0][0]
        others = {module: _record(f) for module, f in formats.items() if f != default}
        return {**_record(default), **others}


def _record(format: QuantFormat | None) -> dict[str, Any]:
    assert format is not None
    return {"group_size": format.group_size, "bits": format.bits, "mode": format.mode}


def plan(
    tensors: Mapping[str, TensorInfo],
    *,
    tied: bool,
    recipe: Recipe | None = None,
    dtype: str | None = None,
    layout: Layout = GRANITE_MLX,
) -> Plan:
    """Decide every tensor's fate.

    Args:
        tensors: the source's tensors by their published names, all of them floating but for the
            counters of training.
        tied: whether the embedding table is the head.
        recipe: None quantises nothing.
        dtype: "float32", "float16" or "bfloat16" for all that stays floating and for the scales;
            None keeps each tensor's own.
        layout: under which names and in which shapes the result is stored.
    """
    fates = []
    for name, info in tensors.items():
        left_out = _reason_to_leave_out(name, tied)
        if left_out:
            fates.append(Fate(name, info.dtype, info.shape, info.dtype, {}, reason=left_out))
        else:
            fates.append(_fate(name, info, recipe, dtype, layout))
    unused = _unused_patterns(recipe, tensors) if recipe is not None else ()
    return Plan(tuple(fates), layout, unused)


def _unused_patterns(recipe: Recipe, tensors: Mapping[str, TensorInfo]) -> tuple[str, ...]:
    # A head of its own may be named in a recipe for tied checkpoints as well.
    matrices = [HEAD, *(name for name in tensors if matrix_shape(name, tensors[name].shape))]
    modules = [name.removesuffix(_WEIGHT) for name in matrices]
    return tuple(rule.pattern for rule in recipe.rules if not any(map(rule.fits, modules)))


def _reason_to_leave_out(name: str, tied: bool) -> str:
    if port.is_ignored(name):
        return "a counter of training"
    if tied and name == HEAD:
        return "the same as the embedding table, to which it is tied"
    return ""


def _fate(
    name: str, info: TensorInfo, recipe: Recipe | None, dtype: str | None, layout: Layout
) -> Fate:
    """The fate of a floating tensor that is kept."""
    kept_dtype = FLOATING[dtype] if dtype else info.dtype
    stored_name = layout.tensor_name(name)
    stored = {stored_name: (kept_dtype, layout.floating_shape(name, info.shape))}
    floating = Fate(name, info.dtype, info.shape, kept_dtype, stored)
    if recipe is None:
        return floating
    matrix = matrix_shape(name, info.shape)
    if matrix is None:
        return replace(floating, reason="no matrix")
    module = name.removesuffix(_WEIGHT)
    rule = recipe.rule_of(module)
    fixed = _never(module) or layout.keeps_floating(module)
    if fixed or rule is None or rule.format is None:
        reason = fixed or (rule.reason if rule else "no rule of the recipe names it")
        return replace(floating, reason=reason)
    if not rule.format.fits(matrix):
        reason = f"its width of {matrix[1]} does not divide into groups of {rule.format.group_size}"
        return replace(floating, wanted=rule.format, reason=reason)
    base = stored_name.removesuffix("weight")
    parts = rule.format.stored(matrix, kept_dtype)
    return replace(
        floating,
        stored={base + part: entry for part, entry in parts.items()},
        format=rule.format,
        wanted=rule.format,
        reason=rule.reason,
    )


def matrix_shape(name: str, shape: Shape) -> Shape | None:
    """(out, in) of a tensor that a matrix product or a look-up uses, or None for all others."""
    if port.is_pointwise(name):
        return shape[0], math.prod(shape[1:])
    return shape if name.endswith(_WEIGHT) and len(shape) == 2 else None


def _never(module: str) -> str | None:
    return next((reason for end, reason in NEVER if module.endswith(end)), None)
