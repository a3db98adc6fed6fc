"""What the user sees: results on stdout; errors, warnings and progress on stderr."""

from __future__ import annotations

import codecs
import io
import json
import os
import sys
import traceback
import unicodedata
from typing import TextIO

from granite_mlx.cli.failures import explain

ERASE_LINE = "\r\x1b[K"
COLUMNS_WHEN_UNKNOWN = 80


class Screen:
    """Two streams, and the one line on stderr that progress rewrites.

    `quiet` leaves errors only; `debug` puts a traceback before each of them.
    """

    def __init__(
        self, out: TextIO, err: TextIO, *, quiet: bool = False, debug: bool = False
    ) -> None:
        self.quiet = quiet
        self.debug = debug
        self._out = out
        self._err = err
        self._live = False

    def result(self, text: str) -> None:
        """Write text to stdout now, so that the next program in the pipe has it."""
        self._erase_progress()
        self._out.write(text)
        self._out.flush()

    def error(self, message: str) -> None:
        """One line on stderr, whatever the message holds."""
        self._line(f"granite-mlx: {one_line(message)}")

    def failure(self, error: BaseException, name: str | None = None) -> None:
        """Explain an exception, of the named file or of all, in one line."""
        if self.debug:
            self._line("".join(traceback.format_exception(error)).rstrip())
        message = explain(error)
        if name is not None and not message.startswith((f"{name}:", f"{name} ")):
            message = f"{name}: {message}"
        self.error(message)

    def warning(self, message: str) -> None:
        """One line on stderr about something that is done all the same."""
        if not self.quiet:
            self.error(f"warning: {message}")

    def announce(self, message: str) -> None:
        """One line on stderr, in a log too, unless errors only are wanted."""
        if not self.quiet:
            self._line(one_line(message))

    def note(self, message: str) -> None:
        """Tell someone who is watching; a log does not need it."""
        if self._is_watched():
            self._line(one_line(message))

    def progress(self, message: str) -> None:
        """Replace the line of progress, if someone is watching."""
        if self._is_watched():
            self._err.write(ERASE_LINE + _cut(one_line(message), columns_of(self._err) - 1))
            self._err.flush()
            self._live = True

    def _line(self, text: str) -> None:
        self._erase_progress()
        self._err.write(text + "\n")
        self._err.flush()

    def _erase_progress(self) -> None:
        if self._live:
            self._err.write(ERASE_LINE)
            self._err.flush()
            self._live = False

    def _is_watched(self) -> bool:
        return not self.quiet and self._err.isatty() and os.environ.get("TERM") != "dumb"


def columns_of(stream: TextIO) -> int:
    """How wide a terminal is."""
    try:
        return os.get_terminal_size(stream.fileno()).columns or COLUMNS_WHEN_UNKNOWN
    except (OSError, ValueError):
        return COLUMNS_WHEN_UNKNOWN


def shown(name: str) -> str:
    """A file's name with its control characters and stray bytes escaped: they would act on a
    terminal, and a newline would make two lines of one."""
    return "".join(
        character.encode("unicode_escape").decode("ascii") if _acts(character) else character
        for character in name
    )


def one_line(message: str) -> str:
    """A message with its line breaks as spaces and other control characters escaped."""
    return shown(" ".join(message.splitlines()))


def _cut(line: str, n_columns: int) -> str:
    """As much of a line as fits: what wraps to a second one would stay there."""
    n_left = n_columns
    for place, character in enumerate(line):
        n_left -= _width(character)
        if n_left < 0:
            return line[:place]
    return line


def last_that_fits(line: str, n_columns: int) -> str:
    """The end of a line, behind an ellipsis where it is too long."""
    if sum(map(_width, line)) <= n_columns:
        return line
    return "…" + _cut(line[::-1], n_columns - 1)[::-1]


def _width(character: str) -> int:
    """In columns of a terminal."""
    if unicodedata.combining(character):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def _acts(character: str) -> bool:
    return unicodedata.category(character) in {"Cc", "Cs", "Zl", "Zp"}


def open_closed_streams() -> None:
    """Where the caller closed a standard stream Python has None: read nothing, write nowhere.

    The descriptor is taken too, so that no output file can get it and what a library prints.
    """
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: SIM115


def escape_what_cannot_be_encoded(stream: TextIO) -> None:
    r"""Make a stream write what its encoding lacks as JSON's \uXXXX, so that JSON stays JSON."""
    if isinstance(stream, io.TextIOWrapper):
        codecs.register_error("granite_mlx.json_escape", _json_escape)
        stream.reconfigure(errors="granite_mlx.json_escape")


def _json_escape(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return json.dumps(error.object[error.start : error.end])[1:-1], error.end
