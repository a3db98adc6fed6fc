"""Places for callers on any thread, given in the order in which they were asked for."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable

WAIT_S = 0.2
"""A wait without a time limit cannot be interrupted by Ctrl-C on every platform."""


class WaitingLine:
    """So many places. With a semaphore, whoever comes when one is free gets it before the others,
    some of whom then wait several times as long as the rest."""

    def __init__(self, n_places: int) -> None:
        self.n_free = n_places
        self._waiting: deque[threading.Event] = deque()
        self._lock = threading.Lock()

    def enter(self, check: Callable[[], None]) -> None:
        """Wait for a place; what `check`, called now and then, raises ends the wait."""
        called = threading.Event()
        with self._lock:
            if self.n_free:
                self.n_free -= 1
                return
            self._waiting.append(called)
        try:
            while not called.wait(WAIT_S):
                check()
        except BaseException:
            self._give_up(called)
            raise

    def leave(self) -> None:
        """Whoever has waited longest gets the place."""
        with self._lock:
            self._pass_on()

    def _give_up(self, called: threading.Event) -> None:
        with self._lock:
            if called.is_set():
                self._pass_on()
            else:
                self._waiting.remove(called)

    def _pass_on(self) -> None:
        if self._waiting:
            self._waiting.popleft().set()
        else:
            self.n_free += 1
