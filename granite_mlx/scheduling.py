"""Callers on any thread, and the running batch on the MLX thread: who waits for what.

The batch is worked on in turns, each a job of the MLX thread, so that what else there is to compute
comes between them. A caller blocks until its order is done, is interrupted, or its check raises.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from granite_mlx.engine import MLXThread
from granite_mlx.errors import BusyError
from granite_mlx.recognition import Asked, Recogniser
from granite_mlx.running import Answer, Checkpoint, Order, RunningBatch
from granite_mlx.waiting_line import WAIT_S, WaitingLine

MOST_ORDERS = 64
"""Callers beyond this wait until one of those before them is done, so that memory is bounded."""


class Scheduler:
    """Gives every caller its answers.

    Args:
        recogniser: makes what computes; called on the MLX thread when a batch begins.
        on_idle: called there when it has ended.

    Attributes:
        most_requests: requests beyond are refused; None has them wait.
    """

    def __init__(
        self,
        thread: MLXThread,
        recogniser: Callable[[Checkpoint], Recogniser],
        on_idle: Callable[[], None] = lambda: None,
    ) -> None:
        self._thread, self._recogniser, self._on_idle = thread, recogniser, on_idle
        self._batch = self._new_batch()
        self._lock = threading.Lock()
        self._places = WaitingLine(MOST_ORDERS)
        self._incoming: list[Order] = []
        self._is_running = False
        self._n_callers = self._n_requests = 0
        self.most_requests: int | None = None

    @contextmanager
    def place(self) -> Iterator[None]:
        """For as long as a request is at work, from its first step to its last.

        Raises:
            BusyError: there are as many as there may be.
        """
        with self._lock:
            if self.most_requests is not None and self._n_requests >= self.most_requests:
                raise BusyError(
                    f"the model has {self._n_requests} requests to answer and takes no more "
                    "at once; try again in a while."
                )
            self._n_requests += 1
        try:
            yield
        finally:
            with self._lock:
                self._n_requests -= 1

    @property
    def n_requests(self) -> int:
        """How many are at work or wait, those included that are being read."""
        return self._n_requests

    @property
    def n_callers(self) -> int:
        """How many wait, here or for a place."""
        return self._n_callers

    @property
    def is_idle(self) -> bool:
        """Whether there is nothing to do."""
        return not self._is_running

    def answer(self, askeds: Sequence[Asked], n_rows: int, check: Checkpoint) -> list[Answer]:
        """The answers in the order of the recordings, or the error in the place of one that failed.

        Args:
            n_rows: the most that are decoded at once.
            check: called between the steps, on the MLX thread; what it raises is raised here.
        """
        order = Order(askeds, n_rows, check)
        if not askeds:
            return []
        if self._thread.is_current:  # a callback of the caller's that uses the model
            batch = self._new_batch()
            batch.add(order)
            while not batch.is_idle:
                batch.turn()
            return order.result()
        with self._lock:
            self._n_callers += 1
        try:
            self._places.enter(check)
            try:
                self._put(order)
                self._until_done(order)
            finally:
                self._places.leave()
        finally:
            with self._lock:
                self._n_callers -= 1
        return order.result()

    def stop(self, error: BaseException) -> None:
        """On the MLX thread: end all orders."""
        with self._lock:
            incoming, self._incoming = self._incoming, []
        for order in incoming:
            self._batch.add(order)
        self._batch.end(error)

    def _new_batch(self) -> RunningBatch:
        return RunningBatch(self._recogniser, self._thread.checkpoint)

    def _put(self, order: Order) -> None:
        with self._lock:
            if not self._is_running:
                self._thread.post(self._turn)  # first: it may refuse
            self._is_running = True
            self._incoming.append(order)

    def _until_done(self, order: Order) -> None:
        try:
            while not order.wait(WAIT_S):
                pass
        except BaseException:  # Ctrl-C, or what an app's own signals raise
            # Only when the work has stopped: nothing runs on behind the caller's back.
            order.abandon()
            while not order.wait(WAIT_S):
                pass
            raise

    def _turn(self) -> None:
        """A job of the MLX thread."""
        with self._lock:
            incoming, self._incoming = self._incoming, []
        for order in incoming:
            self._batch.add(order)
        try:
            self._thread.checkpoint()
            self._batch.turn()
        except BaseException as error:  # the process ends; or a bug, of which nobody may hang
            self._batch.end(error)
        with self._lock:
            self._is_running = bool(self._incoming) or not self._batch.is_idle
            if self._is_running:
                self._thread.post(self._turn)
        if not self._is_running:
            self._on_idle()
