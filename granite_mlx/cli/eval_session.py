"""The models of an evaluation, one after the other, and what becomes of the rows."""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from granite_mlx.cli.failures import NoModelError, explain
from granite_mlx.cli.listener import download_progress
from granite_mlx.cli.model import ModelLoader, SpeechModel
from granite_mlx.cli.screen import Screen, one_line, shown
from granite_mlx.cli.times import clock
from granite_mlx.decoding.speculative import Speculative

if TYPE_CHECKING:
    from granite_mlx.evaluate.answers import Answer
    from granite_mlx.evaluate.journal import Journal
    from granite_mlx.evaluate.rows import Row, Source


@dataclass(frozen=True)
class Setup:
    """A model and the way its drafts are used; `name` tells it from the others of a command."""

    model: str | None
    speculative: Speculative
    name: str


class Session:
    """The models of a command, one after the other, and what became of the rows."""

    def __init__(
        self,
        arguments: argparse.Namespace,
        screen: Screen,
        load: ModelLoader,
        source: Source,
        journal: Journal,
    ) -> None:
        self._arguments = arguments
        self._screen = screen
        self._load = load
        self._source = source
        self._journal = journal

    def ask(self, setup: Setup) -> bool:
        """Whether a model was asked about all rows; if not, it was told why."""
        left = [row for row in self._source.rows if not self._is_done(setup, row)]
        if not left:
            return True
        if len(left) < len(self._source.rows):
            n_done = len(self._source.rows) - len(left)
            self._screen.note(f"{setup.name}: {n_done} utterances are done already.")
        try:
            model = self._loaded(setup)
        except NoModelError as error:
            self._screen.failure(error, shown(setup.name))
            return False
        try:
            return self._ask_all(setup, model, left)
        finally:
            model.close()

    def n_done(self, setups: Sequence[Setup]) -> int:
        """Answers, of all models."""
        return sum(self._is_done(setup, row) for setup in setups for row in self._source.rows)

    def n_failed(self, setups: Sequence[Setup]) -> int:
        """Rows that a model was asked about in vain."""
        answers = self._journal.answers
        keys = [(setup.name, row.id) for setup in setups for row in self._source.rows]
        return sum(key in answers and not answers[key].is_done for key in keys)

    def _is_done(self, setup: Setup, row: Row) -> bool:
        answer = self._journal.answers.get((setup.name, row.id))
        return answer is not None and answer.is_done

    def _loaded(self, setup: Setup) -> SpeechModel:
        from granite_mlx.evaluate.identity import weights_identity

        name = shown(setup.name)
        self._screen.progress(f"Loading {name}")
        try:
            model = self._load(
                setup.model,
                revision=self._arguments.revision,
                dtype=self._arguments.dtype,
                on_progress=download_progress(self._screen, name),
            )
        except Exception as error:
            raise NoModelError from error
        identity = weights_identity(setup.model, self._arguments.revision)
        self._journal.note_model(setup.name, {**identity, "dtype": model.dtype})
        return model

    def _ask_all(self, setup: Setup, model: SpeechModel, rows: Sequence[Row]) -> bool:
        import mlx.core as mx

        from granite_mlx.cli.asker import Asked, ModelAsker
        from granite_mlx.evaluate.running import Runner

        arguments = self._arguments
        asked = Asked(
            setup.speculative, arguments.guard, arguments.punctuate,
            not arguments.without_keywords, arguments.keyword_boost, arguments.batch_size,
        )  # fmt: skip
        pace = Pace(setup.name, len(rows), self._screen)
        asker = ModelAsker(model, asked, pace.show)
        mx.reset_peak_memory()
        runner = Runner(setup.name, asker, time.perf_counter, mx.get_peak_memory, _sentence)

        def settle(row: Row, answer: Answer) -> None:
            self._journal.add(row, answer)
            if answer.error is not None:
                self._screen.error(f"{shown(setup.name)}: {shown(row.id)}: {answer.error}")
            pace.count(answer.duration_s or 0.0)

        if not runner.ask(rows, arguments.batch_size, settle):
            self._screen.error(f"{shown(setup.name)}: none of the first went well; stopped.")
            return False
        return True


class Pace:
    """The line of progress: how many utterances are done, how fast, and how long the rest takes."""

    def __init__(self, name: str, n_rows: int, screen: Screen) -> None:
        self._name, self._n_rows, self._screen = name, n_rows, screen
        self._n_done = 0
        self._audio_s = 0.0
        self._since_s = time.monotonic()

    def count(self, audio_s: float) -> None:
        """One more is done."""
        self._n_done += 1
        self._audio_s += audio_s
        self.show(0.0)

    def show(self, fraction: float) -> None:
        """`fraction` of the one at hand is done."""
        elapsed_s = time.monotonic() - self._since_s
        figures = [f"{self._n_done} of {self._n_rows}"]
        if self._n_done:
            done = self._n_done + fraction
            left_s = max(0.0, elapsed_s / done * (self._n_rows - done))
            figures.append(f"{clock(left_s)} left")
        if self._audio_s and elapsed_s:
            figures.append(f"RTFx {self._audio_s / elapsed_s:.1f}")
        self._screen.progress(f"{', '.join(figures)}: {self._name}")


def _sentence(error: Exception) -> str:
    return one_line(explain(error))
