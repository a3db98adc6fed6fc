"""How long a segment may be, and which pause ends it."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, fields
from numbers import Real
from pathlib import Path
from typing import Any

from granite_mlx.errors import CheckpointError
from granite_mlx.model.folder import read_object

LONG_PAUSES = 3
"""A pause of so many times `pause_s` ends a segment however short it is."""

SMALLEST_GREATEST_S = 2.0
SMALLEST_PAUSE_S = 0.1
KEY = "segment_limits"


@dataclass(frozen=True)
class SegmentLimits:
    """Lengths in seconds; the defaults are for IBM's models (docs/long-recordings.md).

    Attributes:
        least_s: a shorter segment goes on over a pause, unless that is three times `pause_s`.
        greatest_s: no segment is longer.
        pause_s: the pause that ends a segment.
    """

    least_s: float = 5.0
    greatest_s: float = 30.0
    pause_s: float = 0.5

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, bool) or not isinstance(value, Real):
                raise TypeError(f"{field.name} must be a number of seconds, not {value!r}.")
            if not math.isfinite(value):
                raise ValueError(f"{field.name} must be a number of seconds, not {value}.")
        if self.greatest_s < SMALLEST_GREATEST_S:
            raise ValueError(
                f"greatest_s must be at least {SMALLEST_GREATEST_S:g}, not {self.greatest_s:g}."
            )
        if not 0 <= self.least_s <= self.greatest_s / 2:
            raise ValueError(
                f"least_s must be from 0 to half of greatest_s={self.greatest_s:g}, "
                f"not {self.least_s:g}."
            )
        if not SMALLEST_PAUSE_S <= self.pause_s <= self.greatest_s / LONG_PAUSES:
            raise ValueError(
                f"pause_s must be from {SMALLEST_PAUSE_S:g} to a third of "
                f"greatest_s={self.greatest_s:g}, not {self.pause_s:g}."
            )

    @classmethod
    def at_once(cls, longest_s: float) -> SegmentLimits:
        """Limits that make one segment of a recording of at most `longest_s`, pauses or not."""
        return cls(least_s=0.0, greatest_s=longest_s, pause_s=longest_s / LONG_PAUSES)

    @property
    def long_pause_s(self) -> float:
        """The pause that ends a segment of any length."""
        return LONG_PAUSES * self.pause_s

    def within(self, longest_s: float) -> SegmentLimits:
        """These limits where the model takes no more than `longest_s`, at least 2 s."""
        if longest_s >= self.greatest_s:
            return self
        longest_s = max(longest_s, SMALLEST_GREATEST_S)
        return SegmentLimits(
            min(self.least_s, longest_s / 2), longest_s, min(self.pause_s, longest_s / LONG_PAUSES)
        )


def read_segment_limits(folder: Path) -> SegmentLimits:
    """Those of a checkpoint made for shorter utterances: a key of its generation_config.json.

    Raises:
        CheckpointError: they are there and make no sense.
    """
    path = folder / "generation_config.json"
    raw: Any = read_object(path).get(KEY) if path.is_file() else None
    if raw is None:
        return SegmentLimits()
    known = {field.name for field in fields(SegmentLimits)}
    if not isinstance(raw, dict) or not raw.keys() <= known:
        raise CheckpointError(
            f"{path}: {KEY} must be an object of {', '.join(sorted(known))}, not {json.dumps(raw)}."
        )
    try:
        return SegmentLimits(**raw)
    except (TypeError, ValueError) as error:
        raise CheckpointError(f"{path}: {KEY}: {error}") from error
