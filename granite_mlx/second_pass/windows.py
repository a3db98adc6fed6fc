"""What fits into a text model's window: long transcripts in parts, notes in groups.

Everything is counted by the model's own tokenizer, in the very prompt that will be asked. Nothing
is cut off: what fits nowhere is an error.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from granite_mlx.errors import AnswerError
from granite_mlx.second_pass.numbering import Line

T = TypeVar("T")

Fits = Callable[[Sequence[T]], bool]
"""Whether some items fit into one prompt; fewer of them do, too."""


def parts(lines: Sequence[Line], fits: Fits[Line]) -> list[list[Line]]:
    """Consecutive lines, as many in each part as fit. Only a line that does not fit is cut.

    Raises:
        AnswerError: a single word does not fit.
    """
    waiting, found = list(reversed(lines)), []
    while waiting:
        n = most(waiting[::-1], fits)
        if n:
            found.append([waiting.pop() for _ in range(n)])
            continue
        halves = waiting.pop().halves()
        if halves is None:
            raise AnswerError(
                "the text model's window has no room for the prompt, one word of the transcript "
                "and the answer; allow the answer fewer tokens, or take a model with a larger "
                "window."
            )
        waiting += reversed(halves)
    return found


def groups(notes: Sequence[str], fits: Fits[str]) -> list[list[str]]:
    """Consecutive notes, as many in each group as fit; always fewer groups than notes.

    Raises:
        AnswerError: no two neighbours fit.
    """
    found, at = [], 0
    while at < len(notes):
        n = max(1, most(notes[at:], fits))
        found.append(list(notes[at : at + n]))
        at += n
    if len(found) >= len(notes):
        raise AnswerError(
            "the text model's window has no room for the answer beside notes on the transcript; "
            "allow the answer fewer tokens, or take a model with a larger window."
        )
    return found


def most(items: Sequence[T], fits: Fits[T]) -> int:
    """How many of the first items fit: tried by doubling, since counting all of them takes long."""
    low, high = 0, 1
    while high <= len(items) and fits(items[:high]):
        low, high = high, 2 * high
    high = min(high, len(items) + 1)  # the first number that does not fit lies in (low, high]
    while high - low > 1:
        middle = (low + high) // 2
        if fits(items[:middle]):
            low = middle
        else:
            high = middle
    return low
