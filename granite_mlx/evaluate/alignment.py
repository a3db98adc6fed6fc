"""Where two texts differ: words kept, replaced, left out or added, with as few edits as can be."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from granite_mlx.evaluate.error_rates import distance_rows, numbered

Kind = Literal["equal", "substituted", "deleted", "inserted"]

LARGEST_TABLE = 4_000_000
"""Cells of a table that is kept whole; two texts that need more are parted first."""


@dataclass(frozen=True)
class Step:
    """One place of an alignment; `wanted` is None of what was inserted, `got` of what is gone."""

    kind: Kind
    wanted: str | None
    got: str | None


def aligned(
    wanted: Sequence[str], got: Sequence[str], largest_table: int = LARGEST_TABLE
) -> list[Step]:
    """The steps from one text to the other, in order; those that are not "equal" are its errors.

    Args:
        wanted: the words of the reference.
        got: those that were written.
        largest_table: the most cells of a table of distances that are held at once. Beyond it the
            texts are parted where an optimal alignment passes (Hirschberg 1975).
    """
    numbers = numbered([*wanted, *got])
    pairs = _pairs(numbers[: len(wanted)], numbers[len(wanted) :], largest_table)
    return [_step(wanted, got, i, j) for i, j in pairs]


def _step(wanted: Sequence[str], got: Sequence[str], i: int | None, j: int | None) -> Step:
    if i is None and j is not None:
        return Step("inserted", None, got[j])
    if j is None and i is not None:
        return Step("deleted", wanted[i], None)
    assert i is not None
    assert j is not None
    kind: Kind = "equal" if wanted[i] == got[j] else "substituted"
    return Step(kind, wanted[i], got[j])


Pair = tuple[int | None, int | None]


def _pairs(wanted: np.ndarray, got: np.ndarray, largest_table: int) -> list[Pair]:
    """Places that belong together."""
    if len(wanted) < 2 or (len(wanted) + 1) * (len(got) + 1) <= largest_table:
        return _traced(wanted, got)
    half = len(wanted) // 2
    *_, before = distance_rows(wanted[:half], got)
    *_, behind = distance_rows(wanted[half:][::-1], got[::-1])
    cut = int(np.argmin(before + behind[::-1]))
    first = _pairs(wanted[:half], got[:cut], largest_table)
    second = _pairs(wanted[half:], got[cut:], largest_table)
    return first + [
        (None if i is None else i + half, None if j is None else j + cut) for i, j in second
    ]


def _traced(wanted: np.ndarray, got: np.ndarray) -> list[Pair]:
    """Back from the table's last corner; a replacement is preferred to an omission."""
    table = np.stack(list(distance_rows(wanted, got)))
    i, j = len(wanted), len(got)
    pairs: list[Pair] = []
    while i or j:
        here = table[i, j]
        if i and j and table[i - 1, j - 1] + (wanted[i - 1] != got[j - 1]) == here:
            i, j = i - 1, j - 1
            pairs.append((i, j))
        elif i and table[i - 1, j] + 1 == here:
            i -= 1
            pairs.append((i, None))
        else:
            j -= 1
            pairs.append((None, j))
    return pairs[::-1]
