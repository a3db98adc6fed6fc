"""The one thread on which MLX runs.

MLX arrays and streams belong to the thread that made them, and an app calls from any thread: a
button's, a pool's, an event loop's. So every model has one worker; callers hand it work and wait.
What the work is, this module does not know.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


class Cancelled(BaseException):
    """Raised on the worker at its next checkpoint once the caller no longer waits."""


class MLXThread:
    """Runs callables one at a time on one thread of its own.

    Calling `run` from the worker itself runs the callable at once, so that public methods may
    call each other.
    """

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix="granite-mlx")
        self._worker: int | None = None
        self._abandoned = threading.Event()

    def run(self, work: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Run `work` on the worker and return what it returns, or raise what it raises.

        A Ctrl-C while waiting makes the work stop at its next `checkpoint`; only then does
        KeyboardInterrupt reach the caller, so that nothing runs on behind its back.
        """
        if threading.get_ident() == self._worker:
            return work(*args, **kwargs)
        future = self._pool.submit(self._on_worker, work, *args, **kwargs)
        try:
            return _wait(future)
        except KeyboardInterrupt:
            if not future.cancel():
                self._abandoned.set()
                _settle(future)
                self._abandoned.clear()
            raise

    def checkpoint(self) -> None:
        """Called by the work between steps: raises `Cancelled` if nobody waits for it any more."""
        if self._abandoned.is_set():
            raise Cancelled

    def close(self) -> None:
        """Finish what runs and end the thread."""
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _on_worker(self, work: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        self._worker = threading.get_ident()
        return work(*args, **kwargs)


def _wait(future: Future[T]) -> T:
    # A wait without a time limit cannot be interrupted by Ctrl-C on every platform.
    while True:
        try:
            return future.result(timeout=0.2)
        except TimeoutError:
            if future.done():
                return future.result()


def _settle(future: Future[T]) -> None:
    try:
        future.result()
    except BaseException:  # the caller has left: what the work ends with concerns nobody
        return
