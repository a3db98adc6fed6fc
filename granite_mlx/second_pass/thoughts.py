"""What a model thinks aloud before it answers, which is no part of the answer."""

from __future__ import annotations

from collections.abc import Sequence


class Thoughts:
    """Takes the tokens of an answer, and gives back those that are not between two marks.

    Args:
        start: the tokens that begin a thought.
        end: those that end it.
    """

    def __init__(self, start: Sequence[int], end: Sequence[int]) -> None:
        self._marks = (tuple(start), tuple(end))
        self._is_open = False
        self._held: list[int] = []  # perhaps the first tokens of a mark

    def feed(self, token: int) -> list[int]:
        """One more token -> those that are known to be the answer's."""
        self._held.append(token)
        mark = self._marks[self._is_open]
        answered = []
        while self._held and tuple(self._held) != mark[: len(self._held)]:
            first = self._held.pop(0)
            if not self._is_open:
                answered.append(first)
        if self._held and tuple(self._held) == mark:
            self._is_open, self._held = not self._is_open, []
        return answered

    def finish(self) -> list[int]:
        """There are no more -> those that were held back."""
        held, self._held = self._held, []
        return [] if self._is_open else held


def ends_in_a_thought(ids: Sequence[int], start: Sequence[int], end: Sequence[int]) -> bool:
    """Whether a prompt begins a thought for the model, as templates of some thinking ones do."""
    return _last(ids, start) > _last(ids, end)


def _last(ids: Sequence[int], mark: Sequence[int]) -> int:
    """Where a mark stands for the last time; -1 where it does not."""
    n, wanted = len(mark), list(mark)
    places = range(len(ids) - n, -1, -1)
    return next((at for at in places if list(ids[at : at + n]) == wanted), -1)
