"""The one thread on which MLX runs.

MLX arrays and streams belong to the thread that made them, and an app calls from any thread: a
button's, a pool's, an event loop's. So the process has one worker; callers hand it work and wait.
What the work is, this module does not know.
"""

from __future__ import annotations

import atexit
import contextlib
import math
import os
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, wait
from functools import cache, partial
from queue import SimpleQueue
from typing import Generic, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

LONGEST_WAIT_AT_EXIT_S = 5.0
"""How long the process may be held up at its end by work that comes to no checkpoint."""


class Cancelled(BaseException):
    """Raised at the work's next step once a `CancelToken` or its caller has stopped it.

    A BaseException, as KeyboardInterrupt and asyncio's CancelledError are: nothing failed, so what
    tries a failed batch again, or notes an error beside its recording, must not catch it.
    """


class MLXThread:
    """Runs callables one at a time on one thread of its own, for as long as the process lives.

    The thread never ends by itself: MLX keeps Python objects in thread-local storage, and a thread
    that frees them while the interpreter shuts down aborts the process.

    Calling `run` from the worker itself runs the callable at once, so that public methods may
    call each other.

    A fork copies this object but not its thread: in the child, `run` is a RuntimeError.
    """

    def __init__(self) -> None:
        self._jobs: SimpleQueue[_Job[object]] = SimpleQueue()
        self._at_hand: _Job[object] | None = None
        self._exiting = False
        self._process_id = os.getpid()
        self._worker = threading.Thread(target=self._work, name="granite-mlx", daemon=True)
        self._worker.start()
        atexit.register(self._finish)

    def run(self, work: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Run `work` on the worker and return what it returns, or raise what it raises.

        A Ctrl-C while waiting makes the work stop at its next `checkpoint`; only then does
        KeyboardInterrupt reach the caller, so that nothing runs on behind its back. Likewise what
        another signal raises: SIGALRM, say.
        """
        self._check_process()
        if self.is_current:
            return work(*args, **kwargs)
        job = _Job(partial(work, *args, **kwargs))
        try:
            self._jobs.put(job)  # type: ignore[arg-type]  # the worker does not look at results
            job.until_done()
        except BaseException:  # Ctrl-C, or what an app's own signals raise
            job.abandon()
            raise
        return job.result()

    def post(self, work: Callable[[], object]) -> None:
        """Have the worker run `work` behind what it has to do, and do not wait.

        What it raises is lost.
        """
        self._check_process()
        self._jobs.put(_Job(work))

    @property
    def is_current(self) -> bool:
        """Whether the caller is the worker."""
        return threading.current_thread() is self._worker

    def checkpoint(self) -> None:
        """Called by the work between steps: raises `Cancelled` if nobody waits for it any more."""
        if self._exiting or (self._at_hand is not None and self._at_hand.abandoned):
            raise Cancelled("stopped: its caller no longer waits.")

    def _check_process(self) -> None:
        if os.getpid() != self._process_id:
            raise RuntimeError(
                "the model was loaded before a fork, which leaves its thread behind; "
                "load it in the child."
            )

    def _work(self) -> None:
        while True:
            self._at_hand = self._jobs.get()
            self._at_hand.do()
            self._at_hand = None  # so that nothing keeps its result

    def _finish(self) -> None:
        """At exit: let what still runs stop at its next checkpoint, if that comes soon."""
        if os.getpid() != self._process_id:
            return
        with contextlib.suppress(KeyboardInterrupt):  # somebody does not want to wait
            self._exiting = True
            idle = _Job(bool)
            self._jobs.put(idle)  # type: ignore[arg-type]
            idle.until_done(LONGEST_WAIT_AT_EXIT_S)


@cache
def shared_thread() -> MLXThread:
    """The process's MLX thread."""
    return MLXThread()


os.register_at_fork(after_in_child=shared_thread.cache_clear)


class _Job(Generic[T]):
    """A piece of work, its outcome, and whether its caller still wants it."""

    def __init__(self, work: Callable[[], T]) -> None:
        self.abandoned = False
        self._work: Callable[[], T] | None = work
        self._future: Future[T] = Future()

    def do(self) -> None:
        """On the worker: do the work, unless nobody wants it any more."""
        work, self._work = self._work, None
        if work is None or not self._future.set_running_or_notify_cancel():
            return
        try:
            self._future.set_result(work())
        except BaseException as error:
            self._future.set_exception(error)

    def until_done(self, longest_s: float = math.inf) -> None:
        """On the caller's thread: wait for the outcome, or until `longest_s` have passed."""
        latest_s = time.monotonic() + longest_s
        # A wait without a time limit cannot be interrupted by Ctrl-C on every platform.
        while not self._future.done() and time.monotonic() < latest_s:
            wait([self._future], timeout=0.2)

    def abandon(self) -> None:
        """On the caller's thread: drop the work, or wait until it has stopped."""
        self.abandoned = True
        if not self._future.cancel():
            self.until_done()  # a second Ctrl-C does not wait; the work stops all the same

    def result(self) -> T:
        """What the work returned; raises what it raised."""
        return self._future.result()
