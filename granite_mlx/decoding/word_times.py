"""Where the times of words come from. The command line needs the names."""

from __future__ import annotations

from typing import Literal

WordTimes = Literal["aligned", "model", "off"]

WORD_TIMES: tuple[WordTimes, ...] = ("aligned", "model", "off")


def checked_word_times(word_times: str) -> WordTimes:
    """One of the names; ValueError for another one."""
    for known in WORD_TIMES:
        if known == word_times:
            return known
    raise ValueError(f"word_times must be aligned, model or off, not {word_times!r}.")
