"""The recordings that are named on the command line, or lie in the folders named there."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from granite_mlx.cli.failures import UsageError
from granite_mlx.cli.folders import Found, find_recordings
from granite_mlx.cli.screen import shown
from granite_mlx.errors import AudioError

STDIN = "-"


@dataclass(frozen=True)
class Recording:
    """One FILE argument, a path as it was given or - for stdin; or a file in a folder FILE.

    `base` is the folder FILE in which it was found; `trouble` is why it cannot be read, where that
    is known already.
    """

    argument: str
    base: str | None = None
    trouble: str | None = None

    @property
    def name(self) -> str:
        """The argument, or "stdin"."""
        return "stdin" if self.is_stdin else self.argument

    @property
    def shown_name(self) -> str:
        """The name as it can be put on a terminal."""
        return shown(self.name)

    @property
    def stem(self) -> str:
        """The name of its outputs, without a suffix."""
        return Path(self.name).stem

    @property
    def folder(self) -> str:
        """Where it lies below `base`; of a file that was named itself, its folder's own name."""
        if self.is_stdin:
            return ""
        if self.base is None:
            return os.path.basename(os.path.dirname(os.path.abspath(self.argument)))
        below = os.path.relpath(os.path.dirname(self.argument), self.base)
        return "" if below == os.curdir else below

    @property
    def is_stdin(self) -> bool:
        return self.argument == STDIN and self.base is None

    @property
    def path(self) -> Path | None:
        return None if self.is_stdin else Path(self.argument)

    def audio(self) -> str | BinaryIO:
        """The path, or stdin.

        Raises:
            AudioError: there is no such file, it is a folder, or stdin is a terminal.
        """
        if self.trouble is not None:
            raise AudioError(self.trouble)
        if self.is_stdin:
            return _stdin()
        if not os.path.exists(self.argument):
            raise AudioError("there is no such file.")
        if os.path.isdir(self.argument):
            raise AudioError("this is a folder; add --recursive to take the recordings in it.")
        return self.argument


def recordings(arguments: Sequence[str], *, recursive: bool = False) -> list[Recording]:
    """The recordings in the order given, those of a folder where it stands.

    Raises:
        UsageError: an argument without a name, or stdin twice.
    """
    if "" in arguments:
        raise UsageError("one of the FILEs has an empty name; leave it out, or name a recording.")
    if arguments.count(STDIN) > 1:
        raise UsageError("- (stdin) can be given only once.")
    if not recursive:
        return [Recording(argument) for argument in arguments]
    return list(_with_folders(arguments))


def _with_folders(arguments: Sequence[str]) -> Iterator[Recording]:
    """What is found in a folder comes once, even if it is named too or lies in two of them."""
    is_folder = [argument != STDIN and os.path.isdir(argument) for argument in arguments]
    named = zip(arguments, is_folder, strict=True)
    seen = {os.path.realpath(name) for name, folder in named if not folder and name != STDIN}
    for argument, folder in zip(arguments, is_folder, strict=True):
        if not folder:
            yield Recording(argument)
            continue
        for found in find_recordings(argument):
            place = os.path.realpath(found.path)
            if place not in seen or found.trouble is not None:
                yield _recording(found, argument)
            seen.add(place)


def _recording(found: Found, base: str) -> Recording:
    return Recording(found.path, base, found.trouble)


def _stdin() -> BinaryIO:
    if sys.stdin.isatty():
        raise AudioError("it is a terminal; pipe a recording into it.")
    return sys.stdin.buffer
