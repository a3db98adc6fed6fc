"""What waits for a session's thread, and what waits for its reader. Both are bounded."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator

from granite_mlx.live.events import Draft, Event

Command = Callable[[], Iterator[Event]]

LONGEST_WAIT_S = 60.0
"""Sound that waits for a machine that cannot keep up, before whoever feeds it waits, too."""

PATIENCE_S = 0.2
"""A wait without a time limit cannot be interrupted by Ctrl-C on every platform."""


class Inbox:
    """Commands in order, and how much sound they bring."""

    def __init__(self, sample_rate: int, most_s: float = LONGEST_WAIT_S) -> None:
        self.most_s = most_s
        self._rate = sample_rate
        self._commands: deque[tuple[Command, int]] = deque()
        self._n_samples = 0
        self._has_ended = False
        self._changed = threading.Condition()

    def put(self, command: Command, n_samples: int) -> bool:
        """Whether it was taken; it waits while too much sound does. Not once it has ended."""
        with self._changed:
            while not self._has_ended and self.waiting_s > self.most_s:
                self._changed.wait(PATIENCE_S)
            if self._has_ended:
                return False
            self._commands.append((command, n_samples))
            self._n_samples += n_samples
            self._changed.notify_all()
            return True

    def take(self, wait_s: float | None) -> list[Command] | None:
        """All that is there, after at most `wait_s`; None once it has ended and is empty."""
        with self._changed:
            if not self._commands and not self._has_ended:
                self._changed.wait(wait_s)
            if not self._commands:
                return None if self._has_ended else []
            commands = [command for command, _ in self._commands]
            self._commands.clear()
            self._n_samples = 0
            self._changed.notify_all()
            return commands

    def end(self) -> None:
        """Nothing more comes."""
        with self._changed:
            self._has_ended = True
            self._changed.notify_all()

    @property
    def is_empty(self) -> bool:
        return not self._commands

    @property
    def waiting_s(self) -> float:
        """Sound that waits."""
        return self._n_samples / self._rate


class Outbox:
    """Events in order. Of drafts that nobody has read, the last one is enough."""

    def __init__(self) -> None:
        self._events: deque[Event] = deque()
        self._has_ended = False
        self._changed = threading.Condition()

    def put(self, event: Event) -> None:
        with self._changed:
            last = self._events[-1] if self._events else None
            if isinstance(event, Draft) and isinstance(last, Draft) and last.turn == event.turn:
                self._events.pop()
            self._events.append(event)
            self._changed.notify_all()

    def take(self) -> Event | None:
        """The next event, waited for; None once there are no more."""
        with self._changed:
            while not self._events and not self._has_ended:
                self._changed.wait(PATIENCE_S)
            return self._events.popleft() if self._events else None

    def take_all(self) -> list[Event]:
        """What is there."""
        with self._changed:
            events = list(self._events)
            self._events.clear()
            return events

    def end(self) -> None:
        """Nothing more comes."""
        with self._changed:
            self._has_ended = True
            self._changed.notify_all()
