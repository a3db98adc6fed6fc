"""The recordings that are named on the command line."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from granite_mlx.cli.failures import UsageError
from granite_mlx.cli.screen import shown
from granite_mlx.errors import AudioError

STDIN = "-"


@dataclass(frozen=True)
class Recording:
    """One FILE argument: a path as it was given, or - for stdin."""

    argument: str

    @property
    def name(self) -> str:
        """The argument, or "stdin"."""
        return "stdin" if self.argument == STDIN else self.argument

    @property
    def shown_name(self) -> str:
        """The name as it can be put on a terminal."""
        return shown(self.name)

    @property
    def stem(self) -> str:
        """The name of its outputs, without a suffix."""
        return Path(self.name).stem

    @property
    def path(self) -> Path | None:
        return None if self.argument == STDIN else Path(self.argument)

    def audio(self) -> str | BinaryIO:
        """The path, or stdin.

        Raises:
            AudioError: there is no such file, it is a folder, or stdin is a terminal.
        """
        if self.argument == STDIN:
            return _stdin()
        if not os.path.exists(self.argument):
            raise AudioError("there is no such file.")
        if os.path.isdir(self.argument):
            raise AudioError("this is a folder; name the recordings in it.")
        return self.argument


def recordings(arguments: Sequence[str]) -> list[Recording]:
    """The recordings in the order given; UsageError for one without a name, or stdin twice."""
    if "" in arguments:
        raise UsageError("one of the FILEs has an empty name; leave it out, or name a recording.")
    if arguments.count(STDIN) > 1:
        raise UsageError("- (stdin) can be given only once.")
    return [Recording(argument) for argument in arguments]


def _stdin() -> BinaryIO:
    if sys.stdin.isatty():
        raise AudioError("it is a terminal; pipe a recording into it.")
    return sys.stdin.buffer
