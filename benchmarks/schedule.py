"""What is measured, in which order, and what there is time for. Nothing is measured here."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

STAGES, END_TO_END, PROFILE, LIMITS = "stages", "end_to_end", "profile", "limits"
LOAD, COLD = "load", "cold"
"""Of each fresh process: loading, and the first whole recording, the shortest."""

OTHERS = "others_share"
"""Among the values of a measurement: the part of all cores that other processes took meanwhile."""

PROFILED_S = 30.0
"""The recording whose encoder pass is itemised and whose products are the limit, or the longest
below it."""

WARM_UP_LIMIT_S = 5.0
"""A recording that takes longer than this cold is not heard once for nothing at every length:
what that warms is small against it."""

TOKENS_PER_S = 4
LEAST_TOKENS = 64
"""The most tokens of a text that may end by itself: at least these, and these for each second."""


@dataclass(frozen=True)
class Settings:
    """What decides a measurement. `n_tokens` are written in the decoding stage."""

    seconds: tuple[float, ...]
    n_runs: int
    n_tokens: int
    budget_s: float

    @property
    def profiled_s(self) -> float:
        """The length that limits and profile are about."""
        return max((s for s in self.seconds if s <= PROFILED_S), default=min(self.seconds))


QUICK = Settings((10.0, 30.0), n_runs=2, n_tokens=16, budget_s=14 * 60)
FULL = Settings((5.0, 10.0, 30.0, 60.0, 120.0), n_runs=3, n_tokens=32, budget_s=57 * 60)


@dataclass(frozen=True)
class Item:
    """One measurement to make; `run` counts from 1."""

    contender: str
    kind: str
    seconds: float
    run: int

    def __str__(self) -> str:
        return f"{self.contender}: {self.kind}, {self.seconds:g} s, run {self.run}"


def items(kinds: Mapping[str, Sequence[str]], settings: Settings) -> Iterator[Item]:
    """Everything for one model, in turn: A B A B. Later runs come last, so that what there is no
    time for is a repetition and not a length.

    Args:
        kinds: what each contender can measure.
    """
    for run in range(1, settings.n_runs + 1):
        yield from _of_kind(LIMITS, kinds, [settings.profiled_s], run)
        for kind in (STAGES, END_TO_END):
            yield from _of_kind(kind, kinds, settings.seconds, run)
        if run == 1:
            yield from _of_kind(PROFILE, kinds, [settings.profiled_s], run)


def _of_kind(
    kind: str, kinds: Mapping[str, Sequence[str]], seconds: Sequence[float], run: int
) -> Iterator[Item]:
    for length_s in seconds:
        for contender, can in kinds.items():
            if kind in can:
                yield Item(contender, kind, length_s, run)


def n_tokens(settings: Settings, kind: str, seconds: float, forced: bool) -> int:
    """How many tokens are written, or at most where the text may end by itself."""
    if forced or kind != END_TO_END:
        return settings.n_tokens
    return max(LEAST_TOKENS, round(TOKENS_PER_S * seconds))


def expected_s(took_s: Mapping[Item, float], item: Item) -> float:
    """How long a measurement will take, by its likes that are done; 0 where there are none.

    Work grows with the length of a recording, or a little less.
    """
    alike = [
        (done.seconds, spent_s)
        for done, spent_s in took_s.items()
        if (done.contender, done.kind) == (item.contender, item.kind)
    ]
    if not alike:
        return 0.0
    nearest_s = min((length_s for length_s, _ in alike), key=lambda s: abs(s - item.seconds))
    longest_s = max(spent_s for length_s, spent_s in alike if length_s == nearest_s)
    return longest_s * max(1.0, item.seconds / nearest_s)
