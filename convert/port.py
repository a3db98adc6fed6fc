"""Published tensors to ours: names and layouts, as one table.

Our modules carry the published names. What differs is listed here and nowhere else:

- transformers has written the same checkpoint under several prefixes (`RENAMES`);
- 1x1 convolutions are matrices here, and a depthwise kernel has its channel last (`sources`);
- BatchNorm is folded into the depthwise convolution before it (`assemble`), exactly.

Whether a convolution lies in PyTorch's layout or in MLX's is read off each tensor's shape.
"""

from __future__ import annotations

from collections.abc import Mapping

import mlx.core as mx

Shape = tuple[int, ...]

RENAMES: tuple[tuple[str, str], ...] = (
    ("language_model.model.model.", "language_model.model."),
    ("language_model.model.lm_head.", "language_model.lm_head."),
    ("model.language_model.", "language_model.model."),
    ("model.encoder.", "encoder."),
    ("model.projector.", "projector."),
    ("lm_head.", "language_model.lm_head."),
)
"""(prefix in some checkpoint, prefix in the published one); the first that fits is replaced."""

ADAPTED = ".base_layer."
"""What stands in the name of a matrix that was saved with an adapter around it."""

IGNORED_SUFFIXES = (".num_batches_tracked",)
"""Counters of training."""

BATCH_NORM_EPS = 1e-5
_BATCH_NORM = ("weight", "bias", "running_mean", "running_var")
_POINTWISE = ("up_conv.weight", "down_conv.weight")
_DEPTHWISE = "depth_conv.conv."


def published_name(name: str) -> str:
    """The published name of a tensor that some version of transformers wrote."""
    name = name.replace(ADAPTED, ".")
    for prefix, published in RENAMES:
        if name.startswith(prefix):
            return published + name.removeprefix(prefix)
    return name


def is_ignored(name: str) -> bool:
    """Whether a tensor plays no part at inference."""
    return name.endswith(IGNORED_SUFFIXES)


def is_pointwise(name: str) -> bool:
    """Whether a tensor is the kernel of a 1x1 convolution, which is a matrix here."""
    return name.endswith(_POINTWISE)


def sources(ours: str, shape: Shape) -> dict[str, tuple[Shape, ...]]:
    """The published tensors that one of ours is made of, each with the shapes that it may have."""
    if is_pointwise(ours):
        n_out, n_in = shape
        return {ours: ((n_out, n_in, 1), (n_out, 1, n_in), (n_out, n_in))}
    if _DEPTHWISE in ours:
        norm, channels = _batch_norm(ours), (shape[0],)
        parts: dict[str, tuple[Shape, ...]] = {
            f"{norm}.{part}": (channels,) for part in _BATCH_NORM
        }
        if ours.endswith("weight"):
            kernel = shape[1]
            parts[ours] = ((*channels, 1, kernel), (*channels, kernel, 1))
        return parts
    return {ours: (shape,)}


def assemble(ours: str, shape: Shape, tensors: Mapping[str, mx.array]) -> mx.array:
    """One of our tensors from the published ones that `sources` names."""
    if _DEPTHWISE not in ours:
        return tensors[ours].reshape(shape)
    # BatchNorm at inference is x * gain + shift per channel; folded in float32, rounded once.
    weight, bias, mean, variance = (
        tensors[f"{_batch_norm(ours)}.{part}"].astype(mx.float32) for part in _BATCH_NORM
    )
    gain = weight * mx.rsqrt(variance + BATCH_NORM_EPS)
    if ours.endswith("bias"):
        return bias - mean * gain
    return tensors[ours].astype(mx.float32).reshape(shape) * gain[:, None, None]


def _batch_norm(ours: str) -> str:
    return ours[: ours.index(_DEPTHWISE)] + "batch_norm"
