"""What a worker of an archive does with a lot: one model, asked about recordings together."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from granite_mlx.biasing.terms import read_keywords
from granite_mlx.cli.failures import explain
from granite_mlx.cli.listener import Listener, Recogniser
from granite_mlx.cli.listener import Outcome as Heard
from granite_mlx.cli.loop import OBSTACLES
from granite_mlx.cli.model import RecognitionOptions, SpeechModel
from granite_mlx.cli.screen import one_line
from granite_mlx.corpus.census import sha256_of
from granite_mlx.corpus.items import Outcome, Task
from granite_mlx.errors import AudioError
from granite_mlx.transcript.schema import to_record


@dataclass(frozen=True)
class WorkerMaker:
    """Makes a worker where it is called. It can be pickled."""

    load: Callable[[], SpeechModel]
    recogniser: Recogniser
    options: RecognitionOptions

    def __call__(self) -> Worker:
        return Worker(self)


class Worker:
    """Holds the model. One that cannot be loaded is told as the outcome of each task."""

    def __init__(self, maker: WorkerMaker) -> None:
        self._maker = maker
        self._name = f"{platform.node()}:{os.getpid()}"
        self._model: SpeechModel | None = None
        self._trouble: Exception | None = None
        try:
            self._model = maker.load()
        except Exception as error:
            self._trouble = error

    def __call__(self, tasks: Sequence[Task]) -> list[Outcome]:
        """The outcomes of tasks that are asked the same, in order."""
        if self._model is None:
            assert self._trouble is not None
            trouble = one_line(explain(self._trouble))
            return [self._failed(task, trouble, is_obstacle=True) for task in tasks]
        outcomes = {task.sha256: changed for task in tasks if (changed := self._changed(task))}
        left = [task for task in tasks if task.sha256 not in outcomes]
        if left:
            outcomes |= {one.sha256: one for one in self._heard(left)}
        return [outcomes[task.sha256] for task in tasks]

    def _heard(self, tasks: Sequence[Task]) -> list[Outcome]:
        heard: list[Heard] = []
        model = self._model
        assert model is not None
        listener = Listener(
            lambda: model, self._maker.recogniser, _options_for(tasks[0], self._maker.options)
        )
        since_s = time.monotonic()
        listener.listen(
            [task.audio for task in tasks], lambda _: None, lambda _, one: heard.append(one)
        )
        wall_s = round((time.monotonic() - since_s) / len(tasks), 3)
        return [
            replace(self._told(task, one), wall_s=wall_s, n_together=len(tasks))
            for task, one in zip(tasks, heard, strict=True)
        ]

    def _told(self, task: Task, heard: Heard) -> Outcome:
        if not isinstance(heard, Exception):
            return Outcome(task.sha256, self._name, transcript=to_record(heard))
        # What a manifest asks of one recording is no other's trouble.
        is_obstacle = isinstance(heard, OBSTACLES) and not (task.language or task.keywords)
        return self._failed(task, one_line(explain(heard)), is_obstacle=is_obstacle)

    def _changed(self, task: Task) -> Outcome | None:
        """A failure, if the file is not there or not what it was when the work was planned."""
        try:
            status = os.stat(task.audio)
            same = (status.st_size, status.st_mtime_ns) == (task.size_bytes, task.modified_ns)
            if not same and sha256_of(task.audio) != task.sha256:
                raise AudioError("it has changed since the work began; the same command does it.")
        except (OSError, AudioError) as error:
            return self._failed(task, one_line(explain(error)))
        return None

    def _failed(self, task: Task, error: str, *, is_obstacle: bool = False) -> Outcome:
        return Outcome(task.sha256, self._name, error=error, is_obstacle=is_obstacle)


def _options_for(task: Task, options: RecognitionOptions) -> RecognitionOptions:
    own = options.copy()
    if task.language is not None:
        own["language"] = task.language
    if task.keywords:
        terms = read_keywords(options["keywords"]) + read_keywords(list(task.keywords))
        own["keywords"] = terms.entries()
    return own
