"""The gates against float64, and the depthwise convolution against MLX's."""

from types import SimpleNamespace
from typing import Any

import mlx.core as mx
import numpy as np
import pytest

from granite_mlx.model.activations import glu, silu, swiglu
from granite_mlx.model.encoder import DepthwiseConv

ROUNDING = {mx.float32: 4e-6, mx.float16: 1e-3, mx.bfloat16: 8e-3}
"""Relative; in float32 most of it is the exponent's, which is large where the gate is shut."""

TYPES = pytest.mark.parametrize("dtype", ROUNDING, ids=lambda dtype: str(dtype).split(".")[-1])


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def values(dtype: mx.Dtype, seed: int) -> mx.array:
    drawn = np.random.default_rng(seed).normal(scale=6, size=(3, 500))
    return mx.array(drawn).astype(dtype)


def wide(x: mx.array) -> np.ndarray:
    return np.array(x.astype(mx.float32)).astype(np.float64)


@TYPES
def test_gates(dtype: mx.Dtype) -> None:
    x, gate = values(dtype, 1), values(dtype, 2)
    for got, expected in (
        (silu(x), wide(x) * sigmoid(wide(x))),
        (glu(x, gate), wide(x) * sigmoid(wide(gate))),
        (swiglu(gate, x), wide(x) * wide(gate) * sigmoid(wide(gate))),
    ):
        assert got.dtype == dtype
        np.testing.assert_allclose(wide(got), expected, rtol=ROUNDING[dtype], atol=1e-6)


@TYPES
def test_gates_far_out(dtype: mx.Dtype) -> None:
    x = mx.array([-6e4, -300.0, -0.0, 0.0, 300.0, 6e4]).astype(dtype)
    np.testing.assert_array_equal(wide(silu(x)), [0, 0, 0, 0, *wide(x)[4:]])
    ones = mx.ones_like(x)
    np.testing.assert_array_equal(wide(glu(ones, x)), [0, 0, 0.5, 0.5, 1, 1])
    assert mx.isnan(silu(mx.array(mx.nan).astype(dtype))).item()


@TYPES
@pytest.mark.parametrize("shape", [(1, 1), (2, 5), (1, 37), (4, 200)])
def test_the_depthwise_convolution_is_mlxs(shape: tuple[int, int], dtype: mx.Dtype) -> None:
    config: Any = SimpleNamespace(inner_dim=64, conv_kernel_size=15)
    ours = DepthwiseConv(config)
    ours.set_dtype(dtype)
    x = mx.random.normal((*shape, 64), key=mx.random.key(3)).astype(dtype)
    exact = DepthwiseConv(config)
    exact.update(ours.parameters())
    exact.set_dtype(mx.float32)
    expected = exact.conv(x.astype(mx.float32))
    got = ours(mx.pad(x, [(0, 0), (7, 7), (0, 0)]))
    assert got.dtype == dtype
    np.testing.assert_allclose(wide(got), wide(expected), rtol=ROUNDING[dtype], atol=2e-6)
