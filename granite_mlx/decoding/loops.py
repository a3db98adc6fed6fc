"""Answers that go round in circles: greedy decoding at times writes the same for ever."""

from __future__ import annotations

from collections.abc import Sequence

LONGEST_PERIOD = 64
"""Tokens of what is repeated. A longer one is cut by the answer's budget."""

N_COPIES = 4
LEAST_TOKENS = 24
"""What is repeated counts from so many copies and so many tokens in all: people say the same four
times in a row, and read out telephone numbers, but not that many."""


def loop_start(ids: Sequence[int]) -> int | None:
    """Where the last copies of an answer's end begin, behind the first one of them.

    None where it does not go round in circles. Whether somebody really said that often is not
    known here.
    """
    for period in range(1, min(LONGEST_PERIOD, len(ids) // N_COPIES) + 1):
        n_same = _n_same(ids, period)
        if n_same + period >= max(N_COPIES * period, LEAST_TOKENS):
            return len(ids) - n_same
    return None


def _n_same(ids: Sequence[int], period: int) -> int:
    """How many tokens at the end are what stands `period` tokens before them."""
    n_same = 0
    while n_same + period < len(ids) and ids[-1 - n_same] == ids[-1 - n_same - period]:
        n_same += 1
    return n_same
