"""How many tokens of a draft are worth verifying: as many as pay for themselves.

A call of the decoder reads all weights once. Each token more costs a little arithmetic, and the
first one more costs something by itself, for a matrix-vector product becomes a matrix product.
"""

from __future__ import annotations

LENGTHS = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32)
LONGEST_DRAFT = LENGTHS[-1]
FIRST_DRAFT = 32
"""Tokens that are verified together with the prompt, where one token more costs least."""

PROBE = 3
"""Tokens of a draft that is tried after a pause."""

SHORTEST_PAUSE, LONGEST_PAUSE = 16, 128

SWITCH_COST = 0.1
"""Of verifying anything, in calls for one token."""

TOKEN_COST = 0.03
"""Of each token in a call, likewise. Measured on one core, in float32, with layers of full width: 2
tokens take 1.05 times as long as one, 4 1.1, 8 1.2, 16 1.35, 33 2.0; 8 rows of one token 1.2 times.
Other machines differ; a wrong cost makes drafts too long or too short, and no text another."""

FORGETTING = 0.8
"""What past calls count against the last one."""


class Pace:
    """The share of right tokens as far as it is known, and what follows from it.

    A draft that fails again and again is put away for 16 tokens, then 32, up to 128, so that it
    costs a few percent in all.
    """

    def __init__(self) -> None:
        self._n_right, self._n_wrong = 2.0, 0.1  # a character head is right in most of its words
        self._pause = SHORTEST_PAUSE
        self._wait = 0
        self._probing = False

    def length(self, n_rows: int = 1) -> int:
        """Tokens to verify in the next call, in which `n_rows` rows take part; 0 for none."""
        if self._wait > 0:
            return 0
        if self._probing:
            return PROBE
        right = self._n_right / (self._n_right + self._n_wrong)
        best = max(LENGTHS, key=lambda n: _gain(right, n, n_rows))
        if _gain(right, best, n_rows) > 1.0:
            return best
        self._wait, self._probing = self._pause, True
        self._pause = min(2 * self._pause, LONGEST_PAUSE)
        return 0

    @property
    def wait(self) -> int:
        """Tokens for which there will be no draft."""
        return self._wait

    def verified(self, n_drafted: int, n_accepted: int) -> None:
        """A draft of `n_drafted` tokens was right in its first `n_accepted`."""
        self._n_right = FORGETTING * self._n_right + n_accepted
        self._n_wrong = FORGETTING * self._n_wrong + (n_accepted < n_drafted)
        if self._probing:
            self._probing = False
            if n_accepted == n_drafted:
                self._n_right, self._n_wrong = 2.0, 0.5
                self._pause = SHORTEST_PAUSE

    def emitted(self, n_tokens: int) -> None:
        """So many tokens came without a draft."""
        self._wait = max(0, self._wait - n_tokens)


def _gain(right: float, n_drafted: int, n_rows: int) -> float:
    """Tokens for the price of one, if each token of a draft is right with this probability."""
    n_emitted = sum(right**n for n in range(n_drafted + 1))
    plain = 1 + TOKEN_COST * n_rows
    return n_emitted * plain / (1 + SWITCH_COST + TOKEN_COST * n_rows * (1 + n_drafted))
