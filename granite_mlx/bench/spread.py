"""Several measurements of one thing as a middle and a range."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from statistics import median


@dataclass(frozen=True)
class Spread:
    """Median, lowest and highest of `n` measurements, in their unit."""

    median: float
    lowest: float
    highest: float
    n: int


def spread(values: Iterable[float]) -> Spread:
    """ValueError where nothing was measured."""
    known = sorted(values)
    if not known:
        raise ValueError("nothing was measured.")
    return Spread(median(known), known[0], known[-1], len(known))


def spread_if_any(values: Iterable[float]) -> Spread | None:
    """None where nothing was measured."""
    known = list(values)
    return spread(known) if known else None
