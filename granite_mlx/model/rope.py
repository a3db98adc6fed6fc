"""Rotary positions (Su et al., arXiv 2104.09864), also stretched by YaRN (arXiv 2309.00071)."""

from __future__ import annotations

import math

import mlx.core as mx
import numpy as np

from granite_mlx.model.config import TextConfig, YarnConfig


class Rotary:
    """Turns each pair of a head's values, (i, i + head_dim / 2), by an angle per position.

    `score_factor` is what YaRN multiplies attention scores by. transformers scales sines and
    cosines, of queries and keys alike, by the root of it; in the scores that is the same, and
    it costs nothing there.
    """

    def __init__(self, config: TextConfig) -> None:
        self._head_dim = config.head_dim
        self._base: float | None = config.rope_theta
        self._wavelengths: mx.array | None = None  # positions a radian, one for each pair
        self.score_factor = 1.0
        if config.yarn is not None:
            frequencies = yarn_frequencies(config.yarn, config.rope_theta, config.head_dim)
            self._base, self._wavelengths = None, mx.array(1 / frequencies)
            self.score_factor = yarn_attention_factor(config.yarn) ** 2

    def __call__(self, x: mx.array, offset: int | mx.array) -> mx.array:
        """Rotate (B, heads, n, head_dim); `offset` is the first position, or (B,) of them."""
        return mx.fast.rope(
            x,
            self._head_dim,
            traditional=False,
            base=self._base,
            scale=1.0,
            offset=offset,
            freqs=self._wavelengths,
        )


def yarn_frequencies(
    yarn: YarnConfig, theta: float, head_dim: int
) -> np.ndarray[tuple[int], np.dtype[np.float32]]:
    """Radians a position for each pair of a head, in float32 as transformers computes them.

    Pairs that turn more than `beta_fast` times in the trained context stay as they are; those
    that turn less than `beta_slow` times are slowed down by `factor`; between them lies a ramp.
    """
    exponents = np.arange(0, head_dim, 2, dtype=np.float32) / np.float32(head_dim)
    wavelengths = np.float32(theta) ** exponents
    low, high = _ramp(yarn, theta, head_dim)
    position = (np.arange(head_dim // 2, dtype=np.float32) - np.float32(low)) / np.float32(
        high - low
    )
    kept = 1 - np.clip(position, 0, 1)
    slowed_down = 1 / (np.float32(yarn.factor) * wavelengths)
    return slowed_down * (1 - kept) + 1 / wavelengths * kept


def _ramp(yarn: YarnConfig, theta: float, head_dim: int) -> tuple[float, float]:
    """Indices of the pairs between which the frequencies go from kept to slowed down."""

    def pair_that_turns(n_times: float) -> float:
        n_positions = yarn.original_max_position_embeddings / (n_times * 2 * math.pi)
        return head_dim * math.log(n_positions) / (2 * math.log(theta))

    low, high = pair_that_turns(yarn.beta_fast), pair_that_turns(yarn.beta_slow)
    if yarn.truncate:
        low, high = math.floor(low), math.ceil(high)
    low, high = max(low, 0), min(high, head_dim - 1)
    return low, high + 0.001 if low == high else high


def yarn_attention_factor(yarn: YarnConfig) -> float:
    """What sines and cosines are multiplied by."""
    if yarn.attention_factor is not None:
        return yarn.attention_factor
    if yarn.mscale and yarn.mscale_all_dim:
        return yarn_mscale(yarn.factor, yarn.mscale) / yarn_mscale(yarn.factor, yarn.mscale_all_dim)
    return yarn_mscale(yarn.factor, 1.0)


def yarn_mscale(factor: float, weight: float) -> float:
    """What a context that is `factor` times as long asks for, weighted."""
    return 1.0 if factor <= 1 else 0.1 * weight * math.log(factor) + 1.0
