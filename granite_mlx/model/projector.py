"""Frames to audio tokens: a Q-Former over windows of encoder frames (BLIP-2, arXiv 2301.12597).

Each window of `window_size` frames becomes `n_queries` embeddings that the language model reads
in place of token embeddings. The last window is filled with zeros, which the published model
attends to.
"""

from __future__ import annotations

import mlx.core as mx
from mlx import nn

from granite_mlx.model.config import ProjectorConfig, SpeechConfig


class MultiHeadAttention(nn.Module):
    def __init__(self, config: ProjectorConfig, source_dim: int) -> None:
        super().__init__()
        self.num_heads = config.num_attention_heads
        self.query = nn.Linear(config.hidden_size, config.hidden_size)
        self.key = nn.Linear(source_dim, config.hidden_size)
        self.value = nn.Linear(source_dim, config.hidden_size)

    def __call__(self, x: mx.array, source: mx.array) -> mx.array:
        """(N, n_queries, D) attends to (N, S, source_dim) -> (N, n_queries, D)."""
        q, k, v = (
            t.reshape(*t.shape[:2], self.num_heads, -1).swapaxes(1, 2)
            for t in (self.query(x), self.key(source), self.value(source))
        )  # (N, heads, n, head_dim)
        out = mx.fast.scaled_dot_product_attention(q, k, v, scale=q.shape[-1] ** -0.5)
        return out.swapaxes(1, 2).reshape(x.shape)


class Residual(nn.Module):
    """A matrix, the residual, and BERT's norm behind them."""

    def __init__(self, config: ProjectorConfig, input_dim: int) -> None:
        super().__init__()
        self.dense = nn.Linear(input_dim, config.hidden_size)
        self.LayerNorm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)

    def __call__(self, x: mx.array, residual: mx.array) -> mx.array:
        return self.LayerNorm(self.dense(x) + residual)


class Attention(nn.Module):
    def __init__(self, config: ProjectorConfig, source_dim: int) -> None:
        super().__init__()
        self.attention = MultiHeadAttention(config, source_dim)
        self.output = Residual(config, config.hidden_size)

    def __call__(self, x: mx.array, source: mx.array) -> mx.array:
        return self.output(self.attention(x, source), x)


class Intermediate(nn.Module):
    def __init__(self, config: ProjectorConfig) -> None:
        super().__init__()
        self.dense = nn.Linear(config.hidden_size, config.intermediate_size)

    def __call__(self, x: mx.array) -> mx.array:
        return nn.gelu(self.dense(x))


class QFormerLayer(nn.Module):
    def __init__(self, config: ProjectorConfig) -> None:
        super().__init__()
        self.attention = Attention(config, config.hidden_size)
        self.crossattention = Attention(config, config.encoder_hidden_size)
        self.intermediate_query = Intermediate(config)
        self.output_query = Residual(config, config.intermediate_size)

    def __call__(self, x: mx.array, frames: mx.array) -> mx.array:
        x = self.attention(x, x)
        x = self.crossattention(x, frames)
        return self.output_query(self.intermediate_query(x), x)


class QFormerEncoder(nn.Module):
    def __init__(self, config: ProjectorConfig) -> None:
        super().__init__()
        self.layer = [QFormerLayer(config) for _ in range(config.num_hidden_layers)]

    def __call__(self, x: mx.array, frames: mx.array) -> mx.array:
        for layer in self.layer:
            x = layer(x, frames)
        return x


class QFormer(nn.Module):
    def __init__(self, config: ProjectorConfig) -> None:
        super().__init__()
        self.layernorm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.encoder = QFormerEncoder(config)

    def __call__(self, queries: mx.array, frames: mx.array) -> mx.array:
        return self.encoder(self.layernorm(queries), frames)


class Projector(nn.Module):
    def __init__(self, config: SpeechConfig) -> None:
        super().__init__()
        self.window_size, self.n_queries = config.window_size, config.n_queries
        self.query = mx.zeros((1, config.n_queries, config.projector.hidden_size))
        self.qformer = QFormer(config.projector)
        self.linear = nn.Linear(config.projector.hidden_size, config.text.hidden_size)

    def __call__(self, frames: mx.array, n_frames: mx.array | None = None) -> mx.array:
        """(B, T, encoder_dim) -> (B, ceil(T / window_size) * n_queries, text_dim).

        With `n_frames` (B,) the frames beyond a row's length are taken as zeros, as they are in
        its own last window.
        """
        batch, n, width = frames.shape
        if n_frames is not None:
            valid = mx.arange(n)[None, :, None] < n_frames[:, None, None]
            frames = mx.where(valid, frames, mx.zeros((), frames.dtype))
        n_windows = -(-n // self.window_size)
        frames = mx.pad(frames, [(0, 0), (0, n_windows * self.window_size - n), (0, 0)])
        windows = frames.reshape(batch * n_windows, self.window_size, width)
        queries = mx.broadcast_to(self.query, (len(windows), *self.query.shape[1:]))
        answered = self.qformer(queries, windows)  # (B * n_windows, n_queries, D)
        return self.linear(answered.reshape(batch, n_windows * self.n_queries, -1))
