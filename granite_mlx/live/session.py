"""A live session: sound goes in from any thread, events come out, the work is on a third one.

    with model.live() as session:
        for chunk in microphone:
            session.feed(chunk)
            for event in session.ready():
                ...
        transcript = session.finish()

Or a second thread goes through `for event in session`, which waits and ends behind the last one.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from typing import Self

import numpy as np

from granite_mlx.cancelling import CancelToken
from granite_mlx.engine import Cancelled
from granite_mlx.live.events import Event
from granite_mlx.live.incoming import Incoming, checked_chunk
from granite_mlx.live.mailboxes import Inbox, Outbox
from granite_mlx.live.turns import Turns
from granite_mlx.transcript import Transcript

DRAFT_EVERY_S = 0.2
"""Of new audio, before there is another draft."""

DRAFT_REST = 1.0
"""After a draft that took so long, there is none for so many times as long: the thread on which MLX
runs is for finals first, those of other sessions included."""


class LiveSession:
    """Made by `GraniteSpeech.live`. Its methods may be called from any thread.

    In memory are at most `longest_wait_s` of sound that waits, the open piece, and the text so far.
    """

    def __init__(
        self,
        turns: Turns,
        model_id: str,
        sample_rate: int,
        cancel: CancelToken,
        on_event: Callable[[Event], None] | None,
        drafts: bool,
    ) -> None:
        self._turns, self._model_id, self._cancel = turns, model_id, cancel
        self._incoming = Incoming(sample_rate)
        self._inbox = Inbox(sample_rate)
        self._outbox = Outbox()
        self._tell = on_event or self._outbox.put
        self._drafts = drafts
        self._drafted_s, self._next_draft_at_s = 0.0, 0.0
        self._error: BaseException | None = None
        self._worker = threading.Thread(target=self._work, name="granite-mlx live", daemon=True)
        self._worker.start()

    def feed(self, chunk: np.ndarray | bytes) -> None:
        """Give the next samples: (n,) floats or int16, or the bytes of 16-bit PCM, one channel.

        Returns at once, unless more than `longest_wait_s` of sound wait for a slow machine.

        Raises:
            AudioError, TypeError, ValueError: a chunk that is no sound; the session goes on.
            RuntimeError: the session is over.
            Whatever ended the session.
        """
        samples = checked_chunk(chunk)
        if not len(samples):
            return
        self._send(lambda: self._push(samples), len(samples))

    def commit(self) -> None:
        """End the turn here, and make its text final. Errors as in `feed`."""
        self._send(self._commit)

    def clear(self) -> None:
        """Forget what was fed and is in no turn that has stopped. Errors as in `feed`."""
        self._send(self._clear)

    def end(self) -> None:
        """There is no more sound; the last text comes. Does not wait."""
        self._inbox.end()

    def finish(self) -> Transcript:
        """There is no more sound: wait for the last text. -> all of it.

        Raises:
            Cancelled: the session was closed before.
            Whatever ended the session.
        """
        self.end()
        self._wait_for_worker()
        if self._error is not None:
            raise self._error
        return self._turns.transcript(self._model_id)

    def abandon(self) -> None:
        """End the session as soon as can be, without waiting: what is not final is lost."""
        self._cancel.cancel()
        self._inbox.end()

    def ready(self) -> list[Event]:
        """The events that are there and were not given before, without waiting."""
        return self._outbox.take_all()

    def __iter__(self) -> Iterator[Event]:
        """All events as they come, until the session is finished; raises what ended it early."""
        while (event := self._outbox.take()) is not None:
            yield event
        if self._error is not None:
            raise self._error

    def close(self) -> None:
        """End the session at once: what is not final is lost. Harmless where it is finished."""
        self.abandon()
        self._wait_for_worker()

    def kept(self) -> Transcript:
        """End the session at once, as `close` does. -> what is final, whatever has ended it."""
        self.close()
        return self._turns.transcript(self._model_id)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    @property
    def is_over(self) -> bool:
        """Whether all events have been told."""
        return not self._worker.is_alive()

    @property
    def error(self) -> BaseException | None:
        """What ended it early."""
        return self._error

    @property
    def longest_wait_s(self) -> float:
        """Sound that may wait before `feed` does."""
        return self._inbox.most_s

    @property
    def behind_s(self) -> float:
        """Sound that waits."""
        return self._inbox.waiting_s

    def _send(self, command: Callable[[], Iterator[Event]], n_samples: int = 0) -> None:
        if not self._inbox.put(command, n_samples):
            raise self._error or RuntimeError("the live session is over; begin another one.")

    def _wait_for_worker(self) -> None:
        # A wait without a time limit cannot be interrupted by Ctrl-C on every platform.
        while self._worker.is_alive() and threading.current_thread() is not self._worker:
            self._worker.join(0.2)

    def _work(self) -> None:
        """What the session's thread does."""
        try:
            while (commands := self._inbox.take(self._wait_s())) is not None:
                for command in commands:
                    self._cancel.check()
                    self._tell_all(command())
                if self._inbox.is_empty and self._draft_is_due():
                    self._draft()
            self._tell_all(self._finish())
        except BaseException as error:
            self._error = error
        finally:
            self._inbox.end()
            self._outbox.end()

    def _tell_all(self, events: Iterator[Event]) -> None:
        for event in events:
            self._tell(event)

    def _push(self, samples: np.ndarray) -> Iterator[Event]:
        yield from self._turns.push(self._incoming.push(samples))

    def _commit(self) -> Iterator[Event]:
        yield from self._turns.push(self._incoming.flush())
        yield from self._turns.commit()

    def _clear(self) -> Iterator[Event]:
        self._incoming.flush()
        yield from self._turns.clear()

    def _finish(self) -> Iterator[Event]:
        if self._cancel.is_cancelled:
            raise Cancelled
        yield from self._commit()

    def _draft_is_due(self) -> bool:
        is_new = self._turns.now_s - self._drafted_s >= DRAFT_EVERY_S
        return self._drafts and is_new and time.monotonic() >= self._next_draft_at_s

    def _wait_s(self) -> float | None:
        """How long to wait for more sound before a draft can be made of what is there."""
        if not self._drafts or self._turns.now_s - self._drafted_s < DRAFT_EVERY_S:
            return None
        return max(0.0, self._next_draft_at_s - time.monotonic())

    def _draft(self) -> None:
        before_s, self._drafted_s = time.monotonic(), self._turns.now_s
        self._tell_all(self._turns.draft())
        now_s = time.monotonic()
        self._next_draft_at_s = now_s + DRAFT_REST * (now_s - before_s)
