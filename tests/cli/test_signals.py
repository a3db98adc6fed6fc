"""Signals that end a program, sent to this one."""

import os
import signal
from collections.abc import Callable, Iterator

import pytest

from granite_mlx.cli.exits import Exit
from granite_mlx.cli.signals import ENDING, run_interruptibly


@pytest.fixture(params=ENDING, ids=lambda number: number.name)
def number(request: pytest.FixtureRequest) -> Iterator[int]:
    """A signal, for which nothing is set as in a new process."""
    before = signal.signal(request.param, signal.SIG_DFL)
    yield request.param
    signal.signal(request.param, before)


def sending(number: int) -> Callable[[], int]:
    """A command that is sent a signal while it is at work."""

    def command() -> int:
        try:
            os.kill(os.getpid(), number)
        except KeyboardInterrupt:
            return Exit.INTERRUPTED
        return Exit.COMPLETE

    return command


def test_a_command_is_interrupted(number: int) -> None:
    assert run_interruptibly(sending(number)) == 128 + number
    assert signal.getsignal(number) == signal.SIG_DFL


def test_a_command_that_ends_by_itself_has_its_own_code(number: int) -> None:
    assert run_interruptibly(lambda: Exit.PARTIAL) == Exit.PARTIAL
    assert run_interruptibly(lambda: Exit.INTERRUPTED) == Exit.INTERRUPTED


def test_what_is_ignored_stays_ignored(number: int) -> None:
    signal.signal(number, signal.SIG_IGN)
    assert run_interruptibly(sending(number)) == Exit.COMPLETE
    assert signal.getsignal(number) == signal.SIG_IGN
