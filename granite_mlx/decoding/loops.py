"""Answers that go round in circles, found while their tokens come.

The failure of decoders that write the same for ever. People repeat themselves, too, so a phrase
that comes again and again is a loop only where it comes far more often than it may have been said.
Who knows how often that is, is not known here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

LONGEST_PERIOD = 64
"""Tokens of what is repeated, while an answer grows. A longer one is found when it has ended."""

N_COPIES = 4
LEAST_TOKENS = 24
"""What is repeated is looked at from so many copies and so many tokens in all: "no no no no" and a
telephone number are less."""

N_COPIES_AT_END = 3
LEAST_TOKENS_AT_END = 12
"""Likewise where an answer used up its budget, which is a sign of a loop by itself."""

Said = Callable[[Sequence[int]], int | None]
"""Tokens of a phrase -> how often it may have been said; None where that cannot be known."""


@dataclass(frozen=True)
class Loop:
    """What the end of an answer repeats: `n_copies` of `period` tokens from place `start` on."""

    start: int
    period: int
    n_copies: int

    def phrase(self, ids: Sequence[int]) -> Sequence[int]:
        """The tokens of one copy."""
        return ids[self.start : self.start + self.period]


class LoopWatch:
    """Watches one answer. Each token costs a few comparisons, a repeated phrase now and then more.

    Attributes:
        n_kept: the tokens in front of the loop that was found, with the copies that were said, at
            least one; None while there is none.
    """

    def __init__(self, said: Said) -> None:
        self.n_kept: int | None = None
        self._said = said
        self._wait_for = LEAST_TOKENS  # tokens; before that nothing can be a loop

    def grown(self, ids: Sequence[int]) -> None:
        """The answer has one more token."""
        if len(ids) < self._wait_for:
            return
        loop = tail_loop(ids, N_COPIES, LEAST_TOKENS, LONGEST_PERIOD)
        if loop is None:
            return
        said = self._said(loop.phrase(ids))
        # Twice: a head that hears badly misses copies. Two more, since it may miss them all.
        n_most = N_COPIES - 1 if said is None else 2 * said + 2
        if loop.n_copies > n_most:
            self._found(loop, said)
        else:
            self._wait_for = len(ids) + (n_most - loop.n_copies) * loop.period + 1

    def ran_out(self, ids: Sequence[int]) -> None:
        """The answer has used up its budget."""
        longest = len(ids) // N_COPIES_AT_END
        loop = tail_loop(ids, N_COPIES_AT_END, LEAST_TOKENS_AT_END, longest)
        if self.n_kept is not None or loop is None:
            return
        said = self._said(loop.phrase(ids))
        if loop.n_copies > 2 * (said or 0):
            self._found(loop, said)

    def _found(self, loop: Loop, said: int | None) -> None:
        self.n_kept = loop.start + loop.period * min(loop.n_copies, max(1, said or 0))


def tail_loop(
    ids: Sequence[int], n_copies: int, least_tokens: int, longest_period: int
) -> Loop | None:
    """What the end of an answer repeats, the shortest phrase first; None where it repeats nothing.

    It has to be there `n_copies` times, and `least_tokens` long in all.
    """
    n = len(ids)
    for period in range(1, min(longest_period, n // n_copies) + 1):
        if ids[-1] != ids[-1 - period]:
            continue
        length = period + _n_same(ids, period)
        if length >= max(n_copies * period, least_tokens):
            return Loop(n - length, period, length // period)
    return None


def _n_same(ids: Sequence[int], period: int) -> int:
    """How many tokens at the end are what stands `period` tokens before them."""
    n_same = 0
    while n_same + period < len(ids) and ids[-1 - n_same] == ids[-1 - n_same - period]:
        n_same += 1
    return n_same
