"""Drafts: guesses of the tokens that come next, which the decoder verifies many at a time.

Self-speculative decoding (arXiv 2603.11243): the encoder's CTC head has heard the text before the
decoder writes a word of it. What verifies a draft is in `verification.py`; how long a draft pays is
in `pace.py`. Neither the audio nor the decoder is known here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from granite_mlx.decoding.alignment import Follower

CHARACTERS_PER_TOKEN = 16
"""Of a draft's rest so many are turned into tokens for each one that is wanted: a few times more
than a token has, and far less than the rest of a long recording."""

UNFINISHED = "\ufffd"
"""What stands for the bytes of a character that has not come as a whole."""


class Draft(Protocol):
    """What is thought to come."""

    def propose(self, emitted: Sequence[int], n_most: int) -> list[int]:
        """Up to `n_most` tokens that may follow the emitted ones; none where nothing is known."""
        ...


class NoDraft:
    """Nothing is known of what comes."""

    def propose(self, emitted: Sequence[int], n_most: int) -> list[int]:
        return []


class TextDraft:
    """A text that is probably said, in the decoder's tokens, with the end token behind it.

    After a correction it goes on behind the place in the text that best fits what was emitted,
    and is turned into tokens anew from there: the correction may end in the middle of a word.
    """

    def __init__(
        self,
        text: str,
        encode: Callable[[str], list[int]],
        decode: Callable[[Sequence[int]], str],
        end_token_id: int,
    ) -> None:
        self._follower = Follower(text)
        self._encode, self._decode, self._end = encode, decode, end_token_id
        self._expected: list[int] = []
        self._reaches_end = False
        self._n_emitted = 0  # tokens behind which `_expected` stands

    def propose(self, emitted: Sequence[int], n_most: int) -> list[int]:
        news = list(emitted[self._n_emitted :])
        self._n_emitted = len(emitted)
        goes_on = news == self._expected[: len(news)]
        self._expected = self._expected[len(news) :]
        if not goes_on or (len(self._expected) < n_most and not self._reaches_end):
            self._align(emitted, n_most * CHARACTERS_PER_TOKEN)
        return self._expected[:n_most]

    def _align(self, emitted: Sequence[int], n_characters: int) -> None:
        rest = self._follower.rest(self._decode(emitted).rstrip(UNFINISHED))
        self._reaches_end = len(rest) <= n_characters
        self._expected = self._encode(rest[:n_characters])
        if self._reaches_end:
            self._expected.append(self._end)
