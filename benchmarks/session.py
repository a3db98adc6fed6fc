"""All contenders on one model: who is alive, what is measured next, and what went wrong."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks.contenders.known import Contender
from benchmarks.contenders.protocol import Answer, Request
from benchmarks.journal import Journal, Record, context
from benchmarks.models import Model
from benchmarks.quiet import others_share, ticks
from benchmarks.room import available_bytes, weights_bytes, working_bytes
from benchmarks.schedule import (
    COLD,
    END_TO_END,
    LOAD,
    OTHERS,
    PROFILE,
    WARM_UP_LIMIT_S,
    Item,
    Settings,
    expected_s,
    items,
    n_tokens,
)
from benchmarks.worker_process import ContenderError, WorkerProcess

GRACE_S = 45.0
"""Beyond the budget, until what was begun is given up: with the budgets of the presets, it keeps to
their 15 and 60 minutes."""


BUSY_SHARE = 0.15
"""Of the cores, from which on others are in the way."""

PAUSE_S = 0.3
"""Before each measurement, so that the threads of the one before, which spin a while in case that
there is more to do, are at rest."""


@dataclass(frozen=True)
class Outcome:
    """Of one model: its measurements, old and new, and what is missing, in sentences."""

    model: Model
    records: Sequence[Record]
    versions: Mapping[str, Mapping[str, str]]
    left_out: Sequence[str]
    failures: Sequence[str]


@dataclass
class Session:
    """Measures one model. `facts` are what all measurements depend on; `deadline_s` is a time of
    `time.monotonic`, after which nothing more is begun; with `repeat_busy` what the journal has of
    a busy machine does not count."""

    contenders: Sequence[Contender]
    model: Model
    settings: Settings
    journal: Journal
    out: Path
    audio: Callable[[float], Path]
    facts: Mapping[str, Any]
    deadline_s: float
    tell: Callable[[str], None]
    repeat_busy: bool = False
    records: list[Record] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    _workers: dict[str, WorkerProcess] = field(default_factory=dict)
    _contexts: dict[str, str] = field(default_factory=dict)
    _versions: dict[str, dict[str, str]] = field(default_factory=dict)
    _took_s: dict[Item, float] = field(default_factory=dict)
    _cold_s: dict[str, float] = field(default_factory=dict)
    _warm: set[tuple[str, str, float]] = field(default_factory=set)

    def run(self) -> None:
        """Measure what is not in the journal; what is done stays done, whatever ends this."""
        try:
            kinds = self._meet()
            self._remember()
            for item in items(kinds, self.settings):
                self._do(item)
        except BaseException:
            for worker in self._workers.values():
                worker.kill()
            raise
        for worker in self._workers.values():
            worker.end()

    def outcome(self) -> Outcome:
        """What there is by now."""
        return Outcome(self.model, self.records, self._versions, self.left_out, self.failures)

    def _meet(self) -> dict[str, Sequence[str]]:
        """Start everybody, and learn who they are and what they can."""
        kinds: dict[str, Sequence[str]] = {}
        for contender in self.contenders:
            try:
                worker = self._start(contender)
            except ContenderError as error:
                self._failed(contender.name, error)
                continue
            kinds[contender.name] = worker.kinds
            self._versions[contender.name] = worker.versions
            self._contexts[contender.name] = self._context(contender, worker.versions)
        return kinds

    def _start(self, contender: Contender) -> WorkerProcess:
        worker = WorkerProcess(contender, self.out / "logs" / f"{contender.name}.log")
        self._workers[contender.name] = worker
        return worker

    def _context(self, contender: Contender, versions: Mapping[str, str]) -> str:
        model = self.model
        return context(
            contender=contender.name, options=contender.options, versions=versions,
            model=[model.name, contender.model(model.name, str(model.folder)), model.dtype,
                   model.forced], n_tokens=self.settings.n_tokens, **self.facts,
        )  # fmt: skip

    def _remember(self) -> None:
        """Take what the journal has of these contenders, of each measurement the last one."""
        known = set(self._contexts.values())
        mine = [record for record in self.journal.records() if record.context in known]
        last = {_item(record): record for record in mine if record.run}
        processes = [record for record in mine if not record.run]
        self.records += processes + [one for one in last.values() if not self._is_to_repeat(one)]
        for record in self.records:
            self._took_s[_item(record)] = record.spent_s

    def _is_to_repeat(self, record: Record) -> bool:
        return self.repeat_busy and record.values.get(OTHERS, 0.0) > BUSY_SHARE

    def _do(self, item: Item) -> None:
        if item.contender not in self._workers:
            return  # it has failed, which was told
        if any(_item(record) == item for record in self.records):
            return
        if time.monotonic() + self._expected_s(item) > self.deadline_s:
            self.left_out.append(str(item))
            return
        try:
            worker = self._ready(item)
            self._warm_up(worker, item)
            self._measure(worker, item)
        except ContenderError as error:
            self._failed(item.contender, error)

    def _expected_s(self, item: Item) -> float:
        """With what comes before it in a fresh process."""
        measuring_s = expected_s(self._took_s, item)
        if self._workers[item.contender].loaded:
            return measuring_s
        load, cold = (
            self._took_s.get(Item(item.contender, kind, seconds, 0), 0.0)
            for kind, seconds in ((LOAD, 0.0), (COLD, min(self.settings.seconds)))
        )
        return load + cold + measuring_s

    def _failed(self, name: str, error: ContenderError) -> None:
        self.failures.append(str(error))
        self.tell(f"  {error}")
        if (worker := self._workers.pop(name, None)) is not None:
            worker.kill()

    def _ready(self, item: Item) -> WorkerProcess:
        """The contender's process with the model loaded, having heard one recording."""
        worker = self._workers[item.contender]
        self._make_room(worker, item.seconds)
        if worker.loaded:
            return worker
        if worker.has_ended:
            worker = self._start(worker.contender)
        model = worker.contender.model(self.model.name, str(self.model.folder))
        assert model is not None  # who does not take part is not among the contenders
        if worker.contender.large:
            self.tell(f"  {item.contender}: loading")
        start_s = time.monotonic()
        loaded = worker.load(model, self.model.dtype, self._limit_s())
        if "load_s" in loaded.values:
            self._keep(Item(item.contender, LOAD, 0.0, 0), loaded, time.monotonic() - start_s)
        if END_TO_END in worker.kinds:
            shortest_s = min(self.settings.seconds)
            start_s = time.monotonic()
            first = self._asked(worker, END_TO_END, shortest_s)
            self._cold_s[item.contender] = time.monotonic() - start_s
            cold = Item(item.contender, COLD, shortest_s, 0)
            self._keep(cold, first, self._cold_s[item.contender])
        return worker

    def _make_room(self, worker: WorkerProcess, seconds: float) -> None:
        """End others' processes until what this one needs is free, as far as that helps."""
        weights = weights_bytes(self.model.folder, self.model.dtype)
        needed = working_bytes(seconds, weights)
        if worker.contender.large and not worker.loaded:
            needed += weights
        others = [one for one in self._workers.values() if one is not worker and one.holds_weights]
        while others and available_bytes(weights * len(others)) < needed:
            other = others.pop(0)
            self.tell(f"  {other.contender.name}: ended, to make room")
            other.end()
            self._warm = {key for key in self._warm if key[0] != other.contender.name}

    def _warm_up(self, worker: WorkerProcess, item: Item) -> None:
        """Hear it once for nothing, where that costs little."""
        key = (item.contender, item.kind, item.seconds)
        slow = self._cold_s.get(item.contender, 0.0) > WARM_UP_LIMIT_S
        if key in self._warm or slow or not worker.contender.large or item.kind == PROFILE:
            return
        self._asked(worker, item.kind, item.seconds)
        self._warm.add(key)

    def _measure(self, worker: WorkerProcess, item: Item) -> None:
        self.tell(f"  {item}")
        time.sleep(PAUSE_S)
        before, start_s = ticks(worker.process_id), time.monotonic()
        answer = self._asked(worker, item.kind, item.seconds)
        spent_s = time.monotonic() - start_s
        share = others_share(before, ticks(worker.process_id))
        values = answer.values if share is None else {**answer.values, OTHERS: share}
        self._keep(item, Answer(values, answer.text), spent_s)

    def _asked(self, worker: WorkerProcess, kind: str, seconds: float) -> Answer:
        forced = self.model.forced
        count = n_tokens(self.settings, kind, seconds, forced)
        request = Request(self.audio(seconds), seconds, count, forced)
        return worker.measure(kind, request, self._limit_s())

    def _limit_s(self) -> float:
        return max(0.0, self.deadline_s - time.monotonic()) + GRACE_S

    def _keep(self, item: Item, answer: Answer, spent_s: float) -> None:
        record = Record(
            self._contexts[item.contender], item.contender, self.model.name, item.kind,
            item.seconds, item.run, answer.values, answer.text, spent_s,
            datetime.now(UTC).isoformat(timespec="seconds"),
        )  # fmt: skip
        self.journal.append(record)
        self.records.append(record)
        self._took_s[item] = spent_s


def _item(record: Record) -> Item:
    return Item(record.contender, record.kind, record.seconds, record.run)
