"""Stopping work that another thread waits for, or that takes too long."""

from __future__ import annotations

import math
import threading
import time

from granite_mlx.engine import Cancelled


class TimeLimitReached(Cancelled):
    """Raised at the work's next step once the time of its `CancelToken` is up."""


class CancelToken:
    """Stops the work that it was given to, from any thread and for good.

    The waiting call then raises `Cancelled` at the work's next step. A token may be given to
    several calls.

    Args:
        timeout_s: how long the work may take, from now on, waiting included; the call then raises
            `TimeLimitReached`, which is a `Cancelled`. None is without limit.

    Raises:
        ValueError: a limit that is not more than 0.
    """

    def __init__(self, timeout_s: float | None = None) -> None:
        if timeout_s is not None and not timeout_s > 0:
            raise ValueError(f"timeout_s must be more than 0, not {timeout_s}.")
        self._event = threading.Event()
        self._timeout_s = timeout_s
        self._latest_s = math.inf if timeout_s is None else time.monotonic() + timeout_s

    def cancel(self) -> None:
        """Stop the work."""
        self._event.set()

    @property
    def is_cancelled(self) -> bool:
        """Whether somebody has stopped it, or its time is up."""
        return self._event.is_set() or self._is_late

    def check(self) -> None:
        """Called by the work between its steps: raises `Cancelled` once somebody has stopped it."""
        if self._event.is_set():
            raise Cancelled("stopped by its CancelToken.")
        if self._is_late:
            raise TimeLimitReached(f"not done within the {self._timeout_s:g} s of its CancelToken.")

    @property
    def _is_late(self) -> bool:
        return time.monotonic() > self._latest_s


class LinkedToken(CancelToken):
    """Stops one of several pieces of work that share a token, which stops all of them."""

    def __init__(self, shared: CancelToken) -> None:
        super().__init__()
        self._shared = shared

    @property
    def is_cancelled(self) -> bool:
        """Whether this one or the shared one stops it."""
        return super().is_cancelled or self._shared.is_cancelled

    def check(self) -> None:
        """Raises `Cancelled` once one of the two stops it."""
        super().check()
        self._shared.check()


def own_token(shared: CancelToken | None) -> CancelToken:
    """A token that nobody else has, and that is stopped with the shared one, if there is one."""
    return CancelToken() if shared is None else LinkedToken(shared)
