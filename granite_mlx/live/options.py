"""The options of `GraniteSpeech.live`, for those who call it with some of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, TypedDict

from granite_mlx.biasing.terms import Entry
from granite_mlx.live.events import Event
from granite_mlx.options import Guard
from granite_mlx.segments.limits import SegmentLimits

TurnsEnd = Literal["pauses", "commits"]
"""Where a turn ends: where somebody pauses, or where it is committed."""


class LiveOptions(TypedDict, total=False):
    """What command line and server set."""

    to: str | None
    sample_rate: int
    turns: TurnsEnd
    keywords: list[Entry] | None
    keyword_boost: float
    language: str | None
    punctuate: bool
    guard: Guard
    segments: SegmentLimits | None
    drafts: bool
    on_event: Callable[[Event], None] | None
