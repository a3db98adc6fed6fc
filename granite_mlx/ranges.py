"""Parts of a recording about which something else is asked."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from numbers import Real
from pathlib import Path

from granite_mlx.biasing.terms import Entry, Keywords, read_keywords
from granite_mlx.decoding.languages import spoken_language, translation_pair
from granite_mlx.decoding.prompts import Task

SHORTEST_S = 0.04
"""What is shorter gives the encoder less than two frames, and its sound would be lost."""


@dataclass(frozen=True)
class Range:
    """From `start_s` to `end_s` of a recording, what differs from the rest.

    None leaves what the call asks. Segments end at the borders of ranges.

    Attributes:
        language: the spoken language, by code or English name.
        to: the language to write, likewise.
        keywords: terms whose spelling is to be used, as for `transcribe`.
        punctuate: ask for punctuation and capital letters.
    """

    start_s: float
    end_s: float | None = None
    language: str | None = None
    to: str | None = None
    keywords: Iterable[Entry] | Path | Keywords | None = None
    punctuate: bool | None = None

    def __post_init__(self) -> None:
        for name in ("start_s", "end_s"):
            value = getattr(self, name)
            if value is None and name == "end_s":
                continue
            if isinstance(value, bool) or not isinstance(value, Real):
                raise TypeError(f"a range's {name} must be a number of seconds, not {value!r}.")
        if not (math.isfinite(self.start_s) and self.start_s >= 0):
            raise ValueError(f"a range's start_s must be a time from 0 on, not {self.start_s}.")
        if self.end_s is not None and not self.end_s > self.start_s:
            raise ValueError(
                f"a range's end_s must be later than its start_s={self.start_s}, not {self.end_s}."
            )
        if self.end_s is not None and self.end_s - self.start_s < SHORTEST_S:
            raise ValueError(
                f"a range from {self.start_s:g} s to {self.end_s:g} s is too short to hold a word: "
                f"make it at least {SHORTEST_S:g} s."
            )
        # Read once: an iterator would be empty the second time.
        if self.keywords is not None:
            object.__setattr__(self, "keywords", read_keywords(self.keywords))
        self.task(Task())

    def task(self, usual: Task) -> Task:
        """What is asked here, where `usual` is asked elsewhere.

        Raises:
            LanguageError: an unknown language, or a pair that is not translated.
        """
        spoken = usual.spoken if self.language is None else spoken_language(self.language)
        to = usual.to if self.to is None else self.to
        if to is not None:
            spoken, to = translation_pair(spoken, to)
        changes: dict[str, object] = {"spoken": spoken, "to": to}
        if to is not None:
            changes["tags"] = None  # the model marks nothing in a translation
        if self.keywords is not None:
            given = read_keywords(self.keywords)
            changes |= {"keywords": given.terms, "sounds_like": given.sounds_like}
        if self.punctuate is not None:
            changes["punctuate"] = self.punctuate
        return replace(usual, **changes)  # type: ignore[arg-type]


@dataclass(frozen=True)
class Stretch:
    """From `start_s` on until the next one, what is asked, and whether a range asks it."""

    start_s: float
    task: Task
    is_range: bool = False


def stretches(usual: Task, ranges: Sequence[Range]) -> tuple[Stretch, ...]:
    """What is asked of a whole recording, from its beginning on.

    Raises:
        TypeError: what is no range.
        ValueError: ranges that overlap.
    """
    for one in ranges:
        if not isinstance(one, Range):
            raise TypeError(f"ranges must be a list of Range, not of {type(one).__name__}.")
    found = [Stretch(0.0, usual)]
    until_s = 0.0
    for one in sorted(ranges, key=lambda one: one.start_s):
        if one.start_s < until_s:
            raise ValueError(
                f"ranges overlap: one begins at {one.start_s:g} s, another ends at "
                f"{'the end of the recording' if until_s == math.inf else f'{until_s:g} s'}."
            )
        found.append(Stretch(one.start_s, one.task(usual), is_range=True))
        until_s = math.inf if one.end_s is None else one.end_s
        if until_s < math.inf:
            found.append(Stretch(until_s, usual))
    following = [*(one.start_s for one in found[1:]), math.inf]
    return tuple(one for one, end_s in zip(found, following, strict=True) if one.start_s < end_s)
