"""How the next token is chosen from logits: a sampler is a callable, made once for a request."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from numbers import Integral, Real

import mlx.core as mx

Sampler = Callable[[mx.array], mx.array]
"""(B, vocab) logits -> (B,) token ids."""

SEED_BITS = 64

LEAST_TEMPERATURE = 1e-6
"""Logits divided by less would leave float32's range; here the most probable token always wins."""


def greedy(logits: mx.array) -> mx.array:
    """The most probable token of each row."""
    return mx.argmax(logits, axis=-1)


def make_sampler(temperature: float = 0.0, top_p: float = 1.0, seed: int | None = None) -> Sampler:
    """Greedy at temperature 0; otherwise nucleus sampling (Holtzman et al., arXiv 1904.09751).

    With a seed the same request gives the same text, without one no two do. The key is the
    sampler's own, so that no global state is read or changed.

    Raises:
        TypeError: a temperature or top_p that is no number, or a seed that is no whole number.
        ValueError: a temperature below 0 or not finite, a top_p outside (0, 1], or a seed that
            is negative or has more than 64 bits.
    """
    for name, value in (("temperature", temperature), ("top_p", top_p)):
        if isinstance(value, bool) or not isinstance(value, Real):
            raise TypeError(f"{name} must be a number, not {value!r}.")
    if not 0.0 <= temperature < float("inf"):
        raise ValueError(f"temperature must be 0 or more and finite, not {temperature}.")
    if not 0.0 < top_p <= 1.0:
        raise ValueError(f"top_p must be above 0 and at most 1, not {top_p}.")
    if seed is None:
        seed = secrets.randbits(SEED_BITS)
    if isinstance(seed, bool) or not isinstance(seed, Integral):
        raise TypeError(f"seed must be a whole number, not {seed!r}.")
    if not 0 <= seed < 1 << SEED_BITS:
        raise ValueError(f"seed must be from 0 to {(1 << SEED_BITS) - 1}, not {seed}.")
    if temperature == 0.0:
        return greedy
    return _NucleusSampler(float(temperature), float(top_p), int(seed))


class _NucleusSampler:
    def __init__(self, temperature: float, top_p: float, seed: int) -> None:
        self._temperature = max(temperature, LEAST_TEMPERATURE)
        self._top_p = top_p
        self._key = mx.random.key(seed)

    def __call__(self, logits: mx.array) -> mx.array:
        scaled = logits.astype(mx.float32) / self._temperature
        if self._top_p < 1.0:
            scaled = keep_nucleus(scaled, self._top_p)
        self._key, now = mx.random.split(self._key)
        return mx.random.categorical(scaled, key=now)


def keep_nucleus(logits: mx.array, top_p: float) -> mx.array:
    """Set all but the smallest set of tokens whose probability reaches `top_p` to -inf.

    (B, vocab) -> (B, vocab). The most probable token always stays.
    """
    order = mx.argsort(-logits, axis=-1)
    probabilities = mx.take_along_axis(mx.softmax(logits, axis=-1), order, axis=-1)
    before = mx.cumsum(probabilities, axis=-1) - probabilities
    kept_sorted = before < top_p
    rank = mx.argsort(order, axis=-1)
    kept = mx.take_along_axis(kept_sorted, rank, axis=-1)
    return mx.where(kept, logits, -mx.inf)
