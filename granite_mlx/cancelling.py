"""Stopping work that another thread waits for."""

from __future__ import annotations

import threading

from granite_mlx.engine import Cancelled


class CancelToken:
    """Stops the work that it was given to, from any thread and for good.

    The waiting call then raises `Cancelled` at the work's next step. A token may be given to
    several calls.
    """

    def __init__(self) -> None:
        self._event = threading.Event()

    def cancel(self) -> None:
        """Stop the work."""
        self._event.set()

    @property
    def is_cancelled(self) -> bool:
        """Whether somebody has stopped it."""
        return self._event.is_set()

    def check(self) -> None:
        """Called by the work between its steps: raises `Cancelled` once somebody has stopped it."""
        if self._event.is_set():
            raise Cancelled("stopped by its CancelToken.")
