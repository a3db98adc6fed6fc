"""How the next token is chosen from logits: a sampler is a callable, made once for a request."""

from __future__ import annotations

from collections.abc import Callable

import mlx.core as mx

Sampler = Callable[[mx.array], mx.array]
"""(B, vocab) logits -> (B,) token ids."""


def greedy(logits: mx.array) -> mx.array:
    """The most probable token of each row."""
    return mx.argmax(logits, axis=-1)


def make_sampler(temperature: float = 0.0, top_p: float = 1.0, seed: int | None = None) -> Sampler:
    """Greedy at temperature 0; otherwise nucleus sampling (Holtzman et al., arXiv 1904.09751).

    With a seed the same request gives the same text; the key is the sampler's own, so that no
    global state is read or changed.

    Raises:
        ValueError: a temperature below 0 or not finite, or a top_p outside (0, 1].
    """
    if not 0.0 <= temperature < float("inf"):
        raise ValueError(f"temperature must be 0 or more and finite, not {temperature}.")
    if not 0.0 < top_p <= 1.0:
        raise ValueError(f"top_p must be above 0 and at most 1, not {top_p}.")
    if temperature == 0.0:
        return greedy
    return _NucleusSampler(temperature, top_p, seed)


class _NucleusSampler:
    def __init__(self, temperature: float, top_p: float, seed: int | None) -> None:
        self._temperature = temperature
        self._top_p = top_p
        self._key: mx.array | None = None if seed is None else mx.random.key(seed)

    def __call__(self, logits: mx.array) -> mx.array:
        scaled = logits.astype(mx.float32) / self._temperature
        if self._top_p < 1.0:
            scaled = keep_nucleus(scaled, self._top_p)
        if self._key is None:
            return mx.random.categorical(scaled)
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
