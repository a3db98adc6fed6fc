"""The decoder's memory of a conversation: keys and values, in buffers of one fixed size."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import mlx.core as mx

from granite_mlx.model.config import TextConfig

CAPACITY_STEP = 256
"""Capacities are multiples of this, so that few buffer shapes occur and MLX can reuse them."""


def capacity_for(n_positions: int) -> int:
    """The size of a buffer that has room for `n_positions`."""
    return -(-n_positions // CAPACITY_STEP) * CAPACITY_STEP


class LayerCache:
    """Keys and values of one layer: (B, n_kv_heads, capacity, head_dim), filled from the front."""

    def __init__(self, shape: tuple[int, int, int, int], dtype: mx.Dtype) -> None:
        self.keys = mx.zeros(shape, dtype)
        self.values = mx.zeros(shape, dtype)

    def update(self, keys: mx.array, values: mx.array, start: int) -> tuple[mx.array, mx.array]:
        """Write the first rows at position `start`; return all their keys and values so far."""
        n_rows, _, n_new, _ = keys.shape
        end, capacity = start + n_new, self.keys.shape[2]
        if end > capacity:  # MLX would leave out in silence what lies beyond the buffer
            raise ValueError(f"the cache has {capacity} positions, and {end} are needed.")
        self.keys[:n_rows, :, start:end] = keys
        self.values[:n_rows, :, start:end] = values
        return self.keys[:n_rows, :, :end], self.values[:n_rows, :, :end]


class Cache(Protocol):
    """What the decoder needs of a cache."""

    @property
    def layers(self) -> Sequence[LayerCache]:
        """A buffer for each layer of the decoder."""
        ...

    @property
    def rope_offset(self) -> int | mx.array:
        """Position of the next token, one for all rows or (B,)."""
        ...

    def mask(self, n_new: int) -> mx.array | str | None:
        """Which keys the next `n_new` tokens may see."""
        ...

    def update(
        self, layer: LayerCache, keys: mx.array, values: mx.array
    ) -> tuple[mx.array, mx.array]:
        """Write keys and values (B, n_kv_heads, n_new, head_dim) of a layer; returns all so far."""
        ...

    def advance(self, n_new: int) -> None:
        """All layers have written `n_new` tokens."""
        ...


class DecoderCache:
    """What all layers remember of a batch of prompts that are padded on the left.

    Args:
        left_padding: (B,) positions before each row's first token; None where there are none.
        n_positions: the most positions that will ever be written.
    """

    def __init__(
        self,
        config: TextConfig,
        dtype: mx.Dtype,
        batch_size: int,
        n_positions: int,
        left_padding: mx.array | None = None,
    ) -> None:
        capacity = capacity_for(n_positions)
        shape = (batch_size, config.num_key_value_heads, capacity, config.head_dim)
        self.layers = [LayerCache(shape, dtype) for _ in range(config.num_hidden_layers)]
        self.left_padding = left_padding
        self.length = 0

    @property
    def rope_offset(self) -> int | mx.array:
        """Position of the next token, in each row's own count."""
        return self.length if self.left_padding is None else self.length - self.left_padding

    def mask(self, n_new: int) -> mx.array | str | None:
        """Which keys the next `n_new` tokens may see: None for all, or (B, 1, n_new, n_keys)."""
        if self.left_padding is None:
            return None if n_new == 1 else "causal"
        keys = mx.arange(self.length + n_new)[None, :]
        queries = mx.arange(self.length, self.length + n_new)[:, None]
        not_padding = keys >= self.left_padding[:, None]  # (B, n_keys)
        # A padding position sees itself, so that no row of the softmax is empty.
        seen = ((keys <= queries) & not_padding[:, None, :]) | (keys == queries)
        return seen[:, None]

    def update(
        self, layer: LayerCache, keys: mx.array, values: mx.array
    ) -> tuple[mx.array, mx.array]:
        """Write what a layer makes of the next tokens and return all of it so far."""
        return layer.update(keys, values, self.length)

    def advance(self, n_new: int) -> None:
        """All layers have written `n_new` tokens."""
        self.length += n_new
