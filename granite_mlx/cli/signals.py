"""Signals that end a program: they interrupt a command as Ctrl-C does, so that it can clear away
what is half done."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import NoReturn

from granite_mlx.cli.exits import Exit

ENDING = (signal.SIGTERM, signal.SIGHUP)
"""What a scheduler and a terminal that closes send."""

SHELLS_BASE = 128
"""A shell's exit code for a program that a signal has ended is this and the signal's number."""


def run_interruptibly(command: Callable[[], int]) -> int:
    """Run a command that the signals of `ENDING` interrupt. -> exit code."""
    received: list[int] = []

    def interrupt(number: int, frame: FrameType | None) -> NoReturn:
        received.append(number)
        raise KeyboardInterrupt

    with _handling(interrupt):
        code = command()
    return SHELLS_BASE + received[-1] if received and code == Exit.INTERRUPTED else code


@contextmanager
def without_ctrl_c() -> Iterator[None]:
    """For the moment in which what is done is kept: somebody who presses it again and again must
    not lose that. The signals of `ENDING` are still heard."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


@contextmanager
def _handling(handler: Callable[[int, FrameType | None], NoReturn]) -> Iterator[None]:
    """Handle the signals that would end the program; one that is ignored, as by nohup, stays so."""
    # Python lets the main thread alone handle signals.
    on_main_thread = threading.current_thread() is threading.main_thread()
    numbers = [n for n in ENDING if on_main_thread and signal.getsignal(n) == signal.SIG_DFL]
    for number in numbers:
        signal.signal(number, handler)
    try:
        yield
    finally:
        for number in numbers:
            signal.signal(number, signal.SIG_DFL)
