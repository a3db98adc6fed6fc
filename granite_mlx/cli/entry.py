"""From arguments to exit code: the outermost layer, where nothing escapes as a traceback."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Sequence

from granite_mlx.cli.exits import Exit
from granite_mlx.cli.model import ModelLoader, load_granite_speech
from granite_mlx.cli.parser import parse
from granite_mlx.cli.screen import Screen, escape_what_cannot_be_encoded, open_closed_streams
from granite_mlx.cli.signals import run_interruptibly


def main(argv: Sequence[str] | None = None, *, load: ModelLoader = load_granite_speech) -> int:
    """Run one command and return its exit code; `load` is how it gets its model."""
    open_closed_streams()
    escape_what_cannot_be_encoded(sys.stdout)
    screen = Screen(sys.stdout, sys.stderr)
    try:
        code = run_interruptibly(lambda: _explained(argv, screen, load))
        return _flushed(code, screen)
    except BrokenPipeError:
        _discard_stdout()
        return Exit.READER_GONE


def _explained(argv: Sequence[str] | None, screen: Screen, load: ModelLoader) -> int:
    """Run the command; every exception becomes one line and an exit code."""
    try:
        return _run(argv, screen, load)
    except KeyboardInterrupt:
        screen.error("interrupted.")
        return Exit.INTERRUPTED
    except BrokenPipeError:
        raise
    except Exception as error:
        screen.failure(error)
        return Exit.NOTHING_DONE


def _run(argv: Sequence[str] | None, screen: Screen, load: ModelLoader) -> int:
    try:
        arguments = parse(argv)
    except SystemExit as finished:  # --help and --version have printed
        return int(finished.code or 0)
    screen.quiet, screen.debug = arguments.quiet, arguments.debug
    code: int = arguments.run(arguments, screen, load)
    return code


def _flushed(code: int, screen: Screen) -> int:
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        raise
    except OSError as error:  # a full disk: a command that has met it has said so
        _discard_stdout()
        if code == Exit.COMPLETE:
            screen.failure(error, "stdout")
            return Exit.NOTHING_DONE
    return code


def _discard_stdout() -> None:
    """Send what stdout still holds nowhere, so that Python's own flush at exit cannot fail."""
    with contextlib.suppress(OSError, ValueError), open(os.devnull, "wb") as nowhere:
        os.dup2(nowhere.fileno(), sys.stdout.fileno())
