"""Live text on a stream: final lines stay; on a terminal, a faint line behind them may change."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import TextIO

from granite_mlx.cli.screen import ERASE_LINE, columns_of, last_that_fits, shown
from granite_mlx.live.events import Draft, Event, Final, TurnDone

FAINT, PLAIN = "\x1b[2m", "\x1b[0m"


class LiveText:
    """Shows events. What is no terminal gets final lines alone, and stderr not even those."""

    def __init__(self, stream: TextIO, *, lines_anyway: bool = True) -> None:
        self.has_failures = False
        self._stream = stream
        self._is_terminal = stream.isatty() and os.environ.get("TERM") != "dumb"
        self._has_lines = self._is_terminal or lines_anyway
        self._drafts: dict[int, str] = {}
        self._is_drafted = False

    def show(self, events: Iterable[Event]) -> None:
        """Show what has become known."""
        for event in events:
            match event:
                case Draft():
                    self._drafts[event.turn] = event.text
                case Final():
                    self.has_failures |= event.error is not None
                    self._drafts.pop(event.turn, None)
                    self._write(event)
                case TurnDone():
                    self._drafts.pop(event.turn, None)
                case _:
                    continue
            self._draft()

    def end(self) -> None:
        """Nothing is faint any more."""
        self._drafts.clear()
        self._draft()

    def _write(self, final: Final) -> None:
        if not self._has_lines:
            return
        for segment in final.segments:
            speaker = "" if segment.speaker is None else f"{segment.speaker}: "
            self._erase()
            self._stream.write(f"{speaker}{shown(segment.text)}\n")
            self._stream.flush()

    def _draft(self) -> None:
        if not self._is_terminal:
            return
        text = " ".join(text for _, text in sorted(self._drafts.items()) if text)
        self._erase()
        if text:
            faint, plain = ("", "") if os.environ.get("NO_COLOR") else (FAINT, PLAIN)
            line = last_that_fits(shown(text), columns_of(self._stream) - 1)
            self._stream.write(f"{faint}{line}{plain}")
            self._is_drafted = True
        self._stream.flush()

    def _erase(self) -> None:
        if self._is_drafted:
            self._stream.write(ERASE_LINE)
            self._is_drafted = False
