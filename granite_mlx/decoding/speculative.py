"""The ways of using drafts. What they mean is in `drafts.py`; the command line needs the names."""

from __future__ import annotations

from typing import Literal

Speculative = Literal["exact", "relaxed", "off"]

SPECULATIVE: tuple[Speculative, ...] = ("exact", "relaxed", "off")


def draft_use(speculative: str, temperature: float) -> Speculative:
    """How drafts are used in a transcription: sampled text has none.

    Raises:
        ValueError: there is no such way.
    """
    for known in SPECULATIVE:
        if known == speculative:
            return "off" if temperature > 0 else known
    raise ValueError(f"speculative must be exact, relaxed or off, not {speculative!r}.")
