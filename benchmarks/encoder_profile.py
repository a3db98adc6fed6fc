"""Where the encoder's time goes: each kind of operation on its own, at the real shapes.

What is left between their sum and the whole pass (copies, the way between blocks and heads) is
the rest. A part that is computed alone may be faster than between the others, whose data it finds
in no cache; the rest then is more than what its name says.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

import mlx.core as mx

from benchmarks.costs import ATTENTION, Product, blocks, encoder_products
from granite_mlx.model.activations import add_scaled, glu, silu
from granite_mlx.model.config import EncoderConfig
from granite_mlx.model.encoder import Encoder

N_RUNS = 2


def profile_encoder(
    encoder: Encoder, config: EncoderConfig, features: mx.array
) -> dict[str, float]:
    """Seconds by kind of operation, in all blocks together, and of the `whole` pass.

    Args:
        features: (1, T, input_dim).
    """
    whole_s = best_s(lambda: encoder(features).frames)
    parts = {
        name: count * best_s(work) for name, (count, work) in operations(encoder, config, features)
        .items()
    }  # fmt: skip
    parts["products"] = sum(_product_s(one, features.dtype) for one in weighted(config, features))
    rest_s = whole_s - sum(parts.values())
    return {f"{name}_s": value for name, value in (parts | {"rest": rest_s}).items()} | {
        "whole_s": whole_s
    }


def weighted(config: EncoderConfig, features: mx.array) -> list[Product]:
    """The products with weights; attention's are timed as what they are part of."""
    products = encoder_products(config, features.shape[1])
    return [one for one in products if one.name not in ATTENTION]


Part = tuple[int, Callable[[], mx.array]]
"""How often an operation occurs, and a single one of it."""


def operations(encoder: Encoder, config: EncoderConfig, features: mx.array) -> Mapping[str, Part]:
    """What is not a product with weights."""
    block, dtype, n_frames = encoder.layers[0], features.dtype, features.shape[1]
    layers, channels = config.num_layers, config.inner_dim
    x = noise((1, n_frames, config.hidden_dim), dtype)
    wide = noise((1, n_frames, config.hidden_dim * config.feedforward_mult), dtype)
    inner, gated = (noise((1, n_frames, n * channels), dtype) for n in (1, 2))
    mx.eval(x, wide, inner, gated)
    return {
        "relative positions": (layers, _positions(config, n_frames, dtype)),
        "attention": (layers, _attention(config, n_frames, dtype)),
        "depthwise convolution": (layers, lambda: block.conv.depth_conv(inner)),
        "feed-forward activations": (2 * layers, lambda: silu(wide)),
        "convolution activations": (layers, lambda: silu(inner)),
        "gates": (layers, lambda: glu(*mx.split(gated, 2, axis=-1))),
        "norms": (5 * layers, lambda: block.post_norm(x)),
        "residual sums": (4 * layers, lambda: add_scaled(x, x, 0.5)),
    }


def _positions(config: EncoderConfig, n_frames: int, dtype: mx.Dtype) -> Callable[[], mx.array]:
    """Queries times the rows of the table; skewing the result is a view."""
    pairs = [
        (_heads(config, length, n_blocks, dtype), noise((2 * length - 1, config.dim_head), dtype))
        for length, n_blocks in blocks(n_frames, config.context_size)
    ]
    mx.eval(pairs)
    return lambda: joined([q @ rows.T for q, rows in pairs])


def _attention(config: EncoderConfig, n_frames: int, dtype: mx.Dtype) -> Callable[[], mx.array]:
    """Scores with the positions added, softmax, values."""
    scale = config.dim_head**-0.5
    cases = [
        (
            *(_heads(config, length, n_blocks, dtype) for _ in range(3)),
            noise((n_blocks, config.num_heads, length, length), dtype),
        )
        for length, n_blocks in blocks(n_frames, config.context_size)
    ]
    mx.eval(cases)
    return lambda: joined(
        [
            mx.fast.scaled_dot_product_attention(q, k, v, scale=scale, mask=bias)
            for q, k, v, bias in cases
        ]
    )


def joined(arrays: list[mx.array]) -> mx.array:
    """One array that needs all of them, at no cost where there is only one."""
    return mx.concatenate([one.reshape(-1) for one in arrays]) if len(arrays) > 1 else arrays[0]


def _heads(config: EncoderConfig, length: int, n_blocks: int, dtype: mx.Dtype) -> mx.array:
    return noise((n_blocks, config.num_heads, length, config.dim_head), dtype)


def noise(shape: tuple[int, ...], dtype: mx.Dtype) -> mx.array:
    """Values of unit scale."""
    return mx.random.normal(shape, dtype=dtype)


def _product_s(product: Product, dtype: mx.Dtype) -> float:
    left, right = noise((product.m, product.k), dtype), noise((product.k, product.n), dtype)
    mx.eval(left, right)
    return product.count * best_s(lambda: left @ right)


def best_s(work: Callable[[], mx.array]) -> float:
    """Seconds of the fastest of some runs, after one that does not count."""
    mx.eval(work())
    times_s = []
    for _ in range(N_RUNS):
        start_s = time.perf_counter()
        mx.eval(work())
        times_s.append(time.perf_counter() - start_s)
    return min(times_s)
