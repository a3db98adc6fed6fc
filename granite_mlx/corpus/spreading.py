"""Who does what: the part of a machine that works alone, and the lots that workers take."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence

from granite_mlx.corpus.items import Item

LONGEST_LOT_S = 600.0
"""So that a lot that is lost with its worker is minutes of work."""

LOTS_PER_WORKER = 4
"""At the least, while there are recordings enough: the last ones to end do so close together."""


def in_part(sha256: str, part: tuple[int, int]) -> bool:
    """Whether a content belongs to part k of n, (k, n) with k from 1.

    By the content alone: each machine finds the same without asking, whatever the recordings are
    called there and in whichever order they are named.
    """
    k, n = part
    return int(sha256, 16) % n == k - 1


def name_digest(name: str) -> str:
    """Stands for the content of a file that cannot be read, so that one part alone tells of it."""
    return hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()


def lots_of(items: Iterable[Item], n_workers: int, most_files: int) -> list[list[Item]]:
    """Groups to be done at once, the longest first.

    Workers take the next lot when they are free, and the longest begin first: none of them ends
    much later than the others (Graham's rule: at most a third more than the best there is). A lot
    has recordings of similar length that are asked the same, at most `most_files`, of at most
    `LONGEST_LOT_S` and a fair share of all; one that is longer goes alone.
    """
    waiting = sorted(items, key=lambda item: (-item.length_s, item.sha256))
    total_s = sum(item.length_s for item in waiting)
    most_s = min(LONGEST_LOT_S, total_s / (n_workers * LOTS_PER_WORKER))
    most_files = max(1, min(most_files, len(waiting) // (n_workers * LOTS_PER_WORKER)))
    lots: list[list[Item]] = []
    open_lots: dict[object, list[Item]] = {}
    for item in waiting:
        lot = open_lots.get(item.asked)
        if lot is None or len(lot) == most_files or length_s(lot) + item.length_s > most_s:
            lot = open_lots[item.asked] = []
            lots.append(lot)
        lot.append(item)
    return sorted(lots, key=length_s, reverse=True)


def length_s(items: Sequence[Item]) -> float:
    """Seconds of sound."""
    return sum(item.length_s for item in items)
