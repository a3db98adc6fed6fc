"""Whether the guard looks at an answer. What it does is in `guard.py` and `retries.py`."""

from __future__ import annotations

from typing import Literal

Guard = Literal["on", "off"]

GUARD: tuple[Guard, ...] = ("on", "off")


def is_guarded(guard: str) -> bool:
    """Whether it does; ValueError for what is neither "on" nor "off"."""
    if guard not in GUARD:
        raise ValueError(f"guard must be on or off, not {guard!r}.")
    return guard == "on"
