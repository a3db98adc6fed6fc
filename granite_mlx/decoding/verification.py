"""Which tokens of a draft are kept: pure functions of what the decoder thinks of them."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import mlx.core as mx

LEAST_PROBABILITY = 0.2
"""Of an accepted token, in IBM's run for the Open ASR leaderboard."""

Rule = Callable[[mx.array, mx.array], mx.array]
"""(n, vocab) logits and (n,) drafted tokens -> (n,): which of them are acceptable."""


def likely(least: float = LEAST_PROBABILITY) -> Rule:
    """A token is acceptable if the decoder gives it at least this probability."""

    def rule(logits: mx.array, drafted: mx.array) -> mx.array:
        logits = logits.astype(mx.float32)
        chosen = mx.take_along_axis(logits, drafted[:, None], axis=-1)[:, 0]
        return chosen - mx.logsumexp(logits, axis=-1) >= math.log(least)

    return rule


def n_equal(drafted: Sequence[int], chosen: Sequence[int]) -> int:
    """Tokens of a draft in front of the first one that the decoder would not have chosen."""
    return n_accepted([one == other for one, other in zip(drafted, chosen, strict=False)])


def n_accepted(acceptable: Sequence[bool]) -> int:
    """Tokens in front of the first that is not acceptable."""
    return next((n for n, is_it in enumerate(acceptable) if not is_it), len(acceptable))
