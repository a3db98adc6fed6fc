"""Noticing that something was not used for a while."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable


class IdleWatch:
    """Calls a function, on a thread of its own, whenever `touch` was not called for a while."""

    def __init__(self, idle_s: float, on_idle: Callable[[], None]) -> None:
        self._idle_s, self._on_idle = idle_s, on_idle
        self._touched_s = time.monotonic()
        self._stopped = threading.Event()
        threading.Thread(target=self._watch, name="granite-mlx-idle", daemon=True).start()

    def touch(self) -> None:
        """It is in use."""
        self._touched_s = time.monotonic()

    def stop(self) -> None:
        """No more calls."""
        self._stopped.set()

    def _watch(self) -> None:
        told_of_s = 0.0  # once is enough
        while True:
            left_s = self._touched_s + self._idle_s - time.monotonic()
            if self._stopped.wait(left_s if left_s > 0 else self._idle_s):
                return
            touched_s = self._touched_s
            if time.monotonic() - touched_s >= self._idle_s and touched_s != told_of_s:
                told_of_s = touched_s
                self._on_idle()
