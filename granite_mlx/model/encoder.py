"""Features to frames: the Conformer CTC encoder.

Attention is local: blocks of `context_size` frames see only themselves, so a block is one item of a
batch. Only the depthwise convolutions look across block borders. A recording's last, shorter block
is computed at its own size and needs no mask; in a batch of recordings of unequal length the
padding is masked, so that each row gets what it would get alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import NamedTuple

import mlx.core as mx
from mlx import nn

from granite_mlx.model.activations import add_scaled, glu, silu
from granite_mlx.model.config import EncoderConfig

PIECE_FRAMES = 1600
"""Computed at a time where frames do not depend on each other: all those of a longer recording at
once would take more memory and no less time. A multiple of the published blocks; the recordings of
a batch share them."""


class Encoded(NamedTuple):
    """What the encoder knows about a recording."""

    frames: mx.array  # (B, T, frame_dim): concatenated earlier blocks, then the final hidden_dim
    mid_logits: mx.array  # (B, T, output_dim), the CTC head after the middle block


class FeedForward(nn.Module):
    """Half of a Conformer's pair of feed-forward layers."""

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        inner = config.hidden_dim * config.feedforward_mult
        self.pre_norm = nn.LayerNorm(config.hidden_dim)
        self.up_proj = nn.Linear(config.hidden_dim, inner)
        self.down_proj = nn.Linear(inner, config.hidden_dim)

    def __call__(self, x: mx.array) -> mx.array:
        return self.down_proj(silu(self.up_proj(self.pre_norm(x))))


class BlockAttention(nn.Module):
    """Self-attention within blocks, with Shaw's relative positions (arXiv 1803.02155)."""

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        inner = config.num_heads * config.dim_head
        self.num_heads, self.dim_head = config.num_heads, config.dim_head
        self.context_size, self.max_pos_emb = config.context_size, config.max_pos_emb
        self.pre_norm = nn.LayerNorm(config.hidden_dim)
        self.to_q = nn.Linear(config.hidden_dim, inner, bias=False)
        self.to_kv = nn.Linear(config.hidden_dim, 2 * inner, bias=False)
        self.to_out = nn.Linear(inner, config.hidden_dim)
        self.rel_pos_emb = nn.Embedding(2 * config.max_pos_emb + 1, config.dim_head)

    def __call__(self, x: mx.array, valid: mx.array | None) -> mx.array:
        """(B, T, D), and which of the (B, T) frames are not padding -> (B, T, D)."""
        x = self.pre_norm(x)
        q = self.to_q(x) * self.dim_head**-0.5
        k, v = mx.split(self.to_kv(x), 2, axis=-1)
        parts = []
        for start, end, size in _stretches(x, self.context_size):
            mask = None if valid is None else valid[:, start:end]
            parts.append(
                self._attend(q[:, start:end], k[:, start:end], v[:, start:end], mask, size)
            )
        return self.to_out(_joined(parts))

    def _attend(
        self, q: mx.array, k: mx.array, v: mx.array, valid: mx.array | None, size: int
    ) -> mx.array:
        """Attention of (B, n * size, D) in n blocks of `size` frames."""
        batch, n_frames, width = q.shape
        n_blocks = batch * n_frames // size
        q, k, v = (
            t.reshape(n_blocks, size, self.num_heads, self.dim_head).swapaxes(1, 2)
            for t in (q, k, v)
        )  # (n_blocks, heads, size, dim_head)
        bias = self._position_bias(q)  # (n_blocks, heads, size, size)
        if valid is not None:
            # Half of the smallest number stays finite when the score is added to it.
            floor = mx.array(mx.finfo(bias.dtype).min / 2, bias.dtype)
            bias = mx.where(valid.reshape(n_blocks, 1, 1, size), bias, floor)
        out = mx.fast.scaled_dot_product_attention(q, k, v, scale=1.0, mask=bias)
        return out.swapaxes(1, 2).reshape(batch, n_frames, width)

    def _position_bias(self, q: mx.array) -> mx.array:
        """(N, heads, L, dim_head) -> (N, heads, L, L): q_i times the row of offset i - j.

        One product with the 2 L - 1 rows that occur, then each row i is read L - 1 - i further
        left; as i * (2 L - 2) + L - 1 + j walks the same memory, that is a view and no copy.
        """
        n, heads, length, _ = q.shape
        centre = self.max_pos_emb
        rows = self.rel_pos_emb.weight[centre - length + 1 : centre + length][::-1]
        by_offset = q @ rows.T  # (N, heads, L, 2 L - 1); column m holds offset L - 1 - m
        width = 2 * length - 1
        return mx.as_strided(
            by_offset,
            (n, heads, length, length),
            (heads * length * width, length * width, width - 1, 1),
            length - 1,
        )


def _stretches(x: mx.array, context_size: int) -> Iterator[tuple[int, int, int]]:
    """(start, end, block size): whole blocks, not too many at a time, and the last, shorter one."""
    n_frames = x.shape[1]
    n_full = n_frames // context_size * context_size
    step = max(1, PIECE_FRAMES // len(x) // context_size) * context_size
    for start in range(0, n_full, step):
        yield start, min(start + step, n_full), context_size
    if n_full < n_frames:
        yield n_full, n_frames, n_frames - n_full


def _joined(parts: list[mx.array]) -> mx.array:
    """Parts (B, T_i, D) one after the other."""
    return mx.concatenate(parts, axis=1) if len(parts) > 1 else parts[0]


def in_pieces(layer: Callable[[mx.array], mx.array], x: mx.array, n_beside: int = 0) -> mx.array:
    """A layer over (B, T, D), a piece at a time.

    `n_beside` is how many frames its result is shorter than what it is given, since each needs its
    neighbours.
    """
    n_frames, step = x.shape[1] - n_beside, max(1, PIECE_FRAMES // len(x))
    pieces = [
        layer(x[:, start : min(start + step, n_frames) + n_beside])
        for start in range(0, n_frames, step)
    ]
    return _joined(pieces)


class DepthwiseConv(nn.Module):
    """A kernel per channel over time. BatchNorm is folded into its weight and bias at load.

    The sum of shifted frames, each times a row of weights, is one pass over memory once it is
    fused; MLX's grouped convolution takes eight times as long on the CPU.
    """

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        channels, kernel = config.inner_dim, config.conv_kernel_size
        self.conv = nn.Conv1d(channels, channels, kernel, padding=kernel // 2, groups=channels)

    def __call__(self, x: mx.array) -> mx.array:
        """(B, T + kernel - 1, channels) -> (B, T, channels)."""
        # Weights in float32, so that half precision adds up there.
        weights = self.conv.weight[..., 0].T.astype(mx.float32)  # (kernel, channels)
        kernel = len(weights)
        n_frames = x.shape[1] - kernel + 1
        shifted = [x[:, tap : tap + n_frames] for tap in range(kernel)]
        return _weighted_sum(shifted, list(weights), self.conv.bias.astype(mx.float32))


@partial(mx.compile, shapeless=True)
def _weighted_sum(terms: list[mx.array], weights: list[mx.array], bias: mx.array) -> mx.array:
    """Terms (B, T, C), a weight (C,) of each, and a bias (C,) -> (B, T, C) in the terms' type."""
    total = bias
    for term, weight in zip(terms, weights, strict=True):
        total = total + term * weight
    return total.astype(terms[0].dtype)


class Convolution(nn.Module):
    """Conformer's convolution. The published 1x1 convolutions are matrix products here."""

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(config.hidden_dim)
        self.up_conv = nn.Linear(config.hidden_dim, 2 * config.inner_dim)
        self.depth_conv = DepthwiseConv(config)
        self.down_conv = nn.Linear(config.inner_dim, config.hidden_dim)
        self.n_beside = config.conv_kernel_size - 1

    def __call__(self, x: mx.array, valid: mx.array | None) -> mx.array:
        x = in_pieces(self._gated, x)  # (B, T, inner_dim)
        if valid is not None:
            # Beyond a recording's end the kernel must see the zeros that it would see alone.
            x = mx.where(valid[..., None], x, mx.zeros((), x.dtype))
        x = mx.pad(x, [(0, 0), (self.n_beside // 2, self.n_beside // 2), (0, 0)])
        return in_pieces(self._convolved, x, self.n_beside)

    def _gated(self, x: mx.array) -> mx.array:
        return glu(*mx.split(self.up_conv(self.norm(x)), 2, axis=-1))

    def _convolved(self, x: mx.array) -> mx.array:
        return self.down_conv(silu(self.depth_conv(x)))


class ConformerBlock(nn.Module):
    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.ff1 = FeedForward(config)
        self.attn = BlockAttention(config)
        self.conv = Convolution(config)
        self.ff2 = FeedForward(config)
        self.post_norm = nn.LayerNorm(config.hidden_dim)

    def __call__(self, x: mx.array, valid: mx.array | None) -> mx.array:
        x = add_scaled(x, in_pieces(self.ff1, x), 0.5)
        x = x + self.attn(x, valid)
        x = x + self.conv(x, valid)
        x = add_scaled(x, in_pieces(self.ff2, x), 0.5)
        return self.post_norm(x)


class Encoder(nn.Module):
    """The whole encoder. After its middle block, what its CTC head says is fed back into it.

    The frames of 4.1-2b-plus carry the outputs of some earlier blocks in front of the final ones.
    """

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.num_layers, self.hidden_dim = config.num_layers, config.hidden_dim
        self.cat_hidden_layers = config.cat_hidden_layers
        self.input_linear = nn.Linear(config.input_dim, config.hidden_dim)
        self.layers = [ConformerBlock(config) for _ in range(config.num_layers)]
        self.out = nn.Linear(config.hidden_dim, config.output_dim)
        self.out_mid = nn.Linear(config.output_dim, config.hidden_dim)

    def __call__(self, features: mx.array, n_frames: mx.array | None = None) -> Encoded:
        """Encode a batch of features.

        Args:
            features: (B, T, input_dim), padded to the longest recording.
            n_frames: (B,) frames of each recording; None where all have T.
        """
        valid = None
        if n_frames is not None:
            valid = mx.arange(features.shape[1])[None, :] < n_frames[:, None]  # (B, T)
        x = self.input_linear(features)  # (B, T, hidden_dim)
        mid_logits = x
        concatenated = [x] if 0 in self.cat_hidden_layers else []
        for index, layer in enumerate(self.layers, start=1):
            x = layer(x, valid)
            if index == self.num_layers // 2:
                mid_logits = self.out(x)
                x = x + self.out_mid(mx.softmax(mid_logits, axis=-1, precise=True))
            if index in self.cat_hidden_layers:
                # Of the middle block with the feedback, which transformers adds in place.
                concatenated.append(x)
        frames = mx.concatenate([*concatenated, x], axis=-1) if concatenated else x
        return Encoded(frames, mid_logits)

    def ctc_logits(self, frames: mx.array) -> mx.array:
        """(B, T, frame_dim) -> (B, T, output_dim): the character head on the final block."""
        return self.out(frames[..., -self.hidden_dim :])
