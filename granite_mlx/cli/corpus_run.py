"""One run over an archive: what is left, who does it, and what came of it."""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

from granite_mlx.cli.bulk_arguments import options_digest
from granite_mlx.cli.corpus_sources import named_in
from granite_mlx.cli.corpus_worker import WorkerMaker
from granite_mlx.cli.exits import Exit
from granite_mlx.cli.failures import explain
from granite_mlx.cli.manifest import FAILED, VERSION, Entry
from granite_mlx.cli.screen import Screen, one_line, shown
from granite_mlx.cli.times import clock
from granite_mlx.corpus.census import Census
from granite_mlx.corpus.cluster import Engine
from granite_mlx.corpus.errors import CorpusError
from granite_mlx.corpus.items import Item, Named, Outcome, State, items_of, task_of
from granite_mlx.corpus.rows import renamed, row_of
from granite_mlx.corpus.spreading import in_part, length_s, lots_of, name_digest
from granite_mlx.corpus.store import FILES, Store

if TYPE_CHECKING:
    from granite_mlx.cli.corpus import Start

SESSION = ".ray-session"
S_BETWEEN_LINES = 60.0
"""Of progress, where it goes to a log."""

SECONDS_PER_HOUR = 3600.0

FATAL = "its worker was lost each time that it was tried; it may need more memory than there is."


class Run:
    """Goes through an archive; the store has what is done."""

    def __init__(
        self,
        arguments: argparse.Namespace,
        screen: Screen,
        store: Store,
        maker: WorkerMaker,
        start: Start,
    ) -> None:
        self._arguments = arguments
        self._screen = screen
        self._store = store
        self._maker = maker
        self._start = start
        self._digest = options_digest(arguments, maker.options)
        self._odd: list[tuple[Named, str]] = []
        self._n_failed = 0
        self._n_done = 0
        self._n_names = 0

    def run(self) -> int:
        """-> exit code."""
        try:
            left = self._left()
            obstacle = self._listen(left) if left else None
        except KeyboardInterrupt:
            self._store.finish()
            self._screen.error(
                f"interrupted; {self._n_done} of {self._n_names} files are done. The same command "
                "goes on from there."
            )
            return Exit.INTERRUPTED
        for one, said in self._odd:  # last: the file itself may just have been done
            self._set_aside(one, said)
        self._store.finish()
        if obstacle is not None:
            self._screen.error(obstacle)
            return Exit.PARTIAL if self._n_done else Exit.NOTHING_DONE
        if self._n_failed:
            self._screen.error(
                f"{self._n_failed} of {self._n_names} files failed; "
                f"{shown(str(self._store.folder))}/failed.jsonl tells why."
            )
            return Exit.PARTIAL if self._n_done else Exit.NOTHING_DONE
        return Exit.COMPLETE

    def _left(self) -> list[Item]:
        """The contents that have no result yet. What cannot be read is set aside."""
        named, troubles, notes = named_in(
            self._arguments.files, recursive=self._arguments.recursive
        )
        for note in notes:
            self._screen.warning(note)
        census = Census(self._store.folder / FILES)
        fates = census.take(
            [one.audio for one in named],
            lambda n: self._screen.progress(f"Looking at {n} of {len(named)} files"),
        )
        found: list[tuple[Named, State]] = []
        for one in named:
            fate = fates[one.audio]
            if isinstance(fate, State):
                found.append((one, fate))
            else:
                troubles.append((one, one_line(explain(fate))))
        part = self._arguments.part or (1, 1)
        found = [(one, state) for one, state in found if in_part(state.sha256, part)]
        troubles = [(one, said) for one, said in troubles if in_part(name_digest(one.id), part)]
        items, odd = items_of(found)
        self._n_names = len(found) + len(troubles)
        for one, said in troubles:
            self._set_aside(one, said)
        self._odd = odd
        left = []
        for item in items:
            self._name_again(item)
            if not all(self._store.has(item.sha256, one.id) for one in item.names):
                left.append(item)
            else:
                self._n_done += len(item.names)
        if self._n_done:
            self._screen.announce(f"{self._n_done} of {self._n_names} files are done already.")
        return left

    def _name_again(self, item: Item) -> None:
        """Give a result that is there to the names of it that are new."""
        new = [one for one in item.names if not self._store.has(item.sha256, one.id)]
        row = self._store.row(item.sha256) if new else None
        if row is not None:
            for one in new:
                self._store.add(renamed(row, one))

    def _listen(self, left: Sequence[Item]) -> str | None:
        """Have all of them done. -> the sentence about what every one of them would meet."""
        pace = Pace(left)
        self._screen.progress("Starting the workers")
        arguments = self._arguments
        note = self._store.folder / SESSION
        with self._start(self._maker, arguments.workers, arguments.address, note) as (engine, n):
            waiting = {item.sha256: item for item in left}
            for most_files in (arguments.batch_size, 1):
                lots = lots_of(waiting.values(), n, most_files)
                for outcome in _outcomes(engine, lots):
                    if outcome.is_obstacle:
                        return outcome.error
                    item = waiting.pop(outcome.sha256, None)
                    if item is not None:  # else a lot's second try after its first came through
                        self._settle(item, outcome)
                        pace.count(item)
                        self._show(pace)
                if not waiting:
                    break
            if not self._n_done and len(waiting) == len(left) > 1:
                raise CorpusError("every worker was lost before it had done anything.")
            for item in waiting.values():
                self._settle(item, Outcome(item.sha256, "", error=FATAL))
        self._screen.announce(pace.summary())
        return None

    def _settle(self, item: Item, outcome: Outcome) -> None:
        for one in item.names:
            if outcome.error is not None:
                self._set_aside(one, outcome.error, item.state)
            else:
                self._store.add(row_of(one, outcome))
                self._n_done += 1

    def _set_aside(self, one: Named, error: str, state: State | None = None) -> None:
        self._n_failed += 1
        name = shown(one.id)
        self._screen.error(error if error.startswith(f"{name} ") else f"{name}: {error}")
        entry = Entry(
            input=one.audio,
            outputs=(),
            status=FAILED,
            options=self._digest,
            size_bytes=None if state is None else state.size_bytes,
            modified_ns=None if state is None else state.modified_ns,
            error=error,
        )
        self._store.set_aside({"manifest_version": VERSION, **asdict(entry)})

    def _show(self, pace: Pace) -> None:
        self._screen.progress(pace.line())
        if pace.is_time_for_a_line():
            self._screen.announce(pace.line())


class Pace:
    """Files, hours of sound, sound a second of all workers together, and the time left."""

    def __init__(self, items: Sequence[Item]) -> None:
        self._since_s = self._told_s = time.monotonic()
        self._n_files, self._n_done = len(items), 0
        self._total_s, self._audio_s = length_s(items), 0.0

    def count(self, item: Item) -> None:
        """One more is done, or has failed."""
        self._n_done += 1
        self._audio_s += item.length_s

    def line(self) -> str:
        """How far it is. RTFx counts from the start, loading the models included."""
        elapsed_s = time.monotonic() - self._since_s
        left_s = elapsed_s * (self._total_s - self._audio_s) / self._audio_s if self._audio_s else 0
        return (
            f"{self._n_done} of {self._n_files} files, "
            f"{self._audio_s / SECONDS_PER_HOUR:.2f} of {self._total_s / SECONDS_PER_HOUR:.2f} h, "
            f"RTFx {self._audio_s / elapsed_s:.1f}, {clock(left_s)} left"
        )

    def is_time_for_a_line(self) -> bool:
        """At most once a minute."""
        now_s = time.monotonic()
        if now_s - self._told_s < S_BETWEEN_LINES:
            return False
        self._told_s = now_s
        return True

    def summary(self) -> str:
        """What was done."""
        elapsed_s = time.monotonic() - self._since_s
        return (
            f"{self._n_done} files, {self._audio_s / SECONDS_PER_HOUR:.2f} h of audio in "
            f"{clock(elapsed_s)} (RTFx {self._audio_s / elapsed_s:.1f})"
        )


def _outcomes(engine: Engine, lots: Sequence[Sequence[Item]]) -> Iterator[Outcome]:
    for outcomes in engine([[task_of(item) for item in lot] for lot in lots]):
        yield from outcomes
