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


def spread(values: Iterable[float]) -> Spread | None:
    """None where nothing was measured."""
    known = sorted(values)
    return Spread(median(known), known[0], known[-1], len(known)) if known else None


def rate(amount: float, times_s: Spread | None) -> float | None:
    """`amount` a second at the median time; None where no time was measured, or it was 0."""
    return amount / times_s.median if times_s is not None and times_s.median > 0 else None
