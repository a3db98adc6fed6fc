"""The arithmetic between the matrix products, each piece of it one fused kernel.

e**-x is a power of 2 here: GPUs compute those natively, and MLX's CPU does them three times as fast
as its exponential. What half precision gives is computed in float32, which costs a fused kernel
nothing and cannot overflow.
"""

from __future__ import annotations

import math
from functools import partial

import mlx.core as mx

_MINUS_LOG2_E = -math.log2(math.e)


@partial(mx.compile, shapeless=True)
def add_scaled(x: mx.array, y: mx.array, scale: float) -> mx.array:
    """x + scale * y, of a residual connection."""
    return x + scale * y


@partial(mx.compile, shapeless=True)
def silu(x: mx.array) -> mx.array:
    """x * sigmoid(x) (arXiv 1702.03118)."""
    wide = x.astype(mx.float32)
    return (wide / (1 + mx.power(2.0, wide * _MINUS_LOG2_E))).astype(x.dtype)


@partial(mx.compile, shapeless=True)
def glu(x: mx.array, gate: mx.array) -> mx.array:
    """x * sigmoid(gate) (arXiv 1612.08083)."""
    wide = gate.astype(mx.float32)
    return (x / (1 + mx.power(2.0, wide * _MINUS_LOG2_E))).astype(x.dtype)


@partial(mx.compile, shapeless=True)
def swiglu(gate: mx.array, x: mx.array) -> mx.array:
    """silu(gate) * x (arXiv 2002.05202)."""
    wide = gate.astype(mx.float32)
    return (wide * x / (1 + mx.power(2.0, wide * _MINUS_LOG2_E))).astype(x.dtype)
