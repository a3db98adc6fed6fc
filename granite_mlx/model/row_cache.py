"""The decoder's memory of rows that go their own ways: each has its own length.

Every row begins at position 0 of its buffer, so its tokens keep the positions that they would have
alone. Rows are fed as one block, shorter ones filled up on the right. What the filling, or a
rejected draft, leaves behind a row's end is never seen: a token sees positions up to its own,
and by the time that it reaches one, that one is written anew. Taking tokens back is therefore
nothing but a smaller length.
"""

from __future__ import annotations

from collections.abc import Sequence

import mlx.core as mx

from granite_mlx.model.cache import LayerCache, capacity_for
from granite_mlx.model.config import TextConfig

KEYS_STEP = 64
"""Rows of different length attend to a multiple of this, so that few shapes occur."""


class RowCache:
    """Keys and values of up to `n_slots` rows, of which the first `len(lengths)` are in use.

    Args:
        n_positions: the most positions that any row will ever write, filling included.
    """

    def __init__(self, config: TextConfig, dtype: mx.Dtype, n_slots: int, n_positions: int) -> None:
        self.capacity = capacity_for(n_positions)
        shape = (n_slots, config.num_key_value_heads, self.capacity, config.head_dim)
        self.layers: list[LayerCache] = [
            LayerCache(shape, dtype) for _ in range(config.num_hidden_layers)
        ]
        self.n_slots = n_slots
        self._lengths: list[int] = []

    @property
    def lengths(self) -> tuple[int, ...]:
        """The tokens of each row."""
        return tuple(self._lengths)

    def add(self, n_rows: int = 1) -> None:
        """Take free slots for new, empty rows.

        Raises:
            ValueError: there are not so many.
        """
        if len(self._lengths) + n_rows > self.n_slots:
            raise ValueError(f"the cache has {self.n_slots} rows, and all are in use.")
        self._lengths += [0] * n_rows

    def keep(self, lengths: Sequence[int]) -> None:
        """Forget what each row has beyond its new length."""
        for row, (now, wanted) in enumerate(zip(self._lengths, lengths, strict=True)):
            if not 0 <= wanted <= now:
                raise ValueError(f"row {row} has {now} tokens and cannot keep {wanted}.")
        self._lengths = list(lengths)

    def remove(self, row: int) -> None:
        """A row leaves, and the last one takes its place."""
        last = len(self._lengths) - 1
        length = self._lengths.pop()
        if row == last:
            return
        self._lengths[row] = length
        for layer in self.layers:
            layer.keys[row, :, :length] = layer.keys[last, :, :length]
            layer.values[row, :, :length] = layer.values[last, :, :length]

    def take(self, other: RowCache) -> None:
        """Rows of another cache join, behind the ones that are here."""
        start, end = len(self._lengths), len(self._lengths) + len(other._lengths)
        longest = max(other._lengths)
        if longest > self.capacity:
            raise ValueError(f"the cache has {self.capacity} positions, and {longest} are needed.")
        self.add(end - start)
        self._lengths[start:] = other._lengths
        for layer, joining in zip(self.layers, other.layers, strict=True):
            layer.keys[start:end, :, :longest] = joining.keys[: end - start, :, :longest]
            layer.values[start:end, :, :longest] = joining.values[: end - start, :, :longest]

    def grow(self, n_positions: int) -> None:
        """Make room for rows that write more positions than was thought."""
        more = capacity_for(n_positions) - self.capacity
        if more <= 0:
            return
        self.capacity += more
        for layer in self.layers:
            padding = [(0, 0), (0, 0), (0, more), (0, 0)]
            layer.keys, layer.values = mx.pad(layer.keys, padding), mx.pad(layer.values, padding)

    def widen(self, n_slots: int) -> None:
        """Make room for more rows than was thought."""
        more = n_slots - self.n_slots
        if more <= 0:
            return
        self.n_slots += more
        for layer in self.layers:
            padding = [(0, more), (0, 0), (0, 0), (0, 0)]
            layer.keys, layer.values = mx.pad(layer.keys, padding), mx.pad(layer.values, padding)

    # What the decoder asks for

    @property
    def rope_offset(self) -> int | mx.array:
        """Position of the next token: one for all rows, or (B,) where they differ."""
        return self._lengths[0] if self._is_even else mx.array(self._lengths)

    def mask(self, n_new: int) -> mx.array | str | None:
        """Which keys the next `n_new` tokens may see: None for all, or (B, 1, n_new, n_keys)."""
        if self._is_even:
            return None if n_new == 1 else "causal"
        seen = mx.arange(self._n_keys(n_new))[None, None, :] <= self._positions(n_new)[..., None]
        return seen[:, None]

    def update(
        self, layer: LayerCache, keys: mx.array, values: mx.array
    ) -> tuple[mx.array, mx.array]:
        """Write (B, n_kv_heads, n_new, head_dim) behind each row; returns (.., n_keys, head_dim).

        Raises:
            ValueError: the cache has no room for them.
        """
        n_rows, n_new = keys.shape[0], keys.shape[2]
        if n_rows != len(self._lengths):
            raise ValueError(f"{len(self._lengths)} rows are in use, and {n_rows} were given.")
        if self._is_even:
            return layer.update(keys, values, self._lengths[0])
        end = max(self._lengths) + n_new
        if end > self.capacity:  # MLX checks no index
            raise ValueError(f"the cache has {self.capacity} positions, and {end} are needed.")
        rows, positions = mx.arange(n_rows)[:, None], self._positions(n_new)  # (B, n_new)
        layer.keys[rows, :, positions] = keys.swapaxes(1, 2)
        layer.values[rows, :, positions] = values.swapaxes(1, 2)
        n_keys = self._n_keys(n_new)
        return layer.keys[:n_rows, :, :n_keys], layer.values[:n_rows, :, :n_keys]

    def advance(self, n_new: int) -> None:
        """All layers have written `n_new` tokens of every row, filling included."""
        self._lengths = [length + n_new for length in self._lengths]

    @property
    def _is_even(self) -> bool:
        return min(self._lengths) == max(self._lengths)

    def _positions(self, n_new: int) -> mx.array:
        """(B, n_new): where the next tokens of each row stand."""
        return mx.array(self._lengths)[:, None] + mx.arange(n_new)[None, :]

    def _n_keys(self, n_new: int) -> int:
        end = max(self._lengths) + n_new
        return min(self.capacity, -(-end // KEYS_STEP) * KEYS_STEP)
