"""Options that Python and the command line share: their names, limits and checks.

Nothing heavy is imported here: `granite-mlx --help` needs them.
"""

from __future__ import annotations

from numbers import Real
from typing import Literal

Channels = Literal["mixed", "separate"]
"""Channels are averaged, or each one is transcribed by itself."""

CHANNELS: tuple[Channels, ...] = ("mixed", "separate")

Guard = Literal["on", "off"]
"""Whether the guard looks at an answer. What it does is in `decoding/guard.py` and `retries.py`."""

GUARD: tuple[Guard, ...] = ("on", "off")

HIGHEST_BOOST = 20.0
"""Nats: a token that the decoder finds a billion times less probable than another would win."""

BATCH_SIZE = 8
"""Segments that are worked on at once."""

LARGEST_BATCH = 1024


def checked_channels(channels: str) -> Channels:
    """ValueError for another name."""
    for known in CHANNELS:
        if known == channels:
            return known
    raise ValueError(f"channels must be mixed or separate, not {channels!r}.")


def is_guarded(guard: str) -> bool:
    """Whether the guard looks; ValueError for what is neither "on" nor "off"."""
    if guard not in GUARD:
        raise ValueError(f"guard must be on or off, not {guard!r}.")
    return guard == "on"


def checked_boost(boost: float) -> float:
    """TypeError or ValueError for what is no number from 0 to `HIGHEST_BOOST`."""
    if isinstance(boost, bool) or not isinstance(boost, Real):
        raise TypeError(f"keyword_boost must be a number, not {boost!r}.")
    if not 0.0 <= boost <= HIGHEST_BOOST:
        raise ValueError(f"keyword_boost must be from 0 to {HIGHEST_BOOST:g}, not {_short(boost)}.")
    return float(boost)


def _short(number: Real) -> str:
    """A number without hundreds of digits."""
    try:
        return f"{float(number):g}"
    except OverflowError:
        return "one that is too large to show"


def checked_batch_size(batch_size: int) -> int:
    """TypeError or ValueError for what is no number of segments."""
    return whole_number("batch_size", batch_size, LARGEST_BATCH)


def whole_number(name: str, value: int, most: int) -> int:
    """An option from 1 to `most`; TypeError or ValueError where it is none."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{name} must be a whole number, not {value!r}.")
    if not 1 <= value <= most:
        raise ValueError(f"{name} must be from 1 to {most}, not {value}.")
    return value
