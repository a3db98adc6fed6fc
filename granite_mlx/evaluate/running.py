"""Rows through one model: every row's answer or failure, with the time that it took."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import BinaryIO, Protocol

from granite_mlx.evaluate.answers import Answer
from granite_mlx.evaluate.rows import Row
from granite_mlx.transcript import Transcript

MOST_FAILURES_AT_FIRST = 20
"""If as many rows fail and none has gone well, the rest would fail too."""

Sound = str | BinaryIO
OnAnswer = Callable[[Row, Answer], None]


class Asker(Protocol):
    """A model and the way it is asked."""

    def transcribe(self, row: Row, audio: Sound) -> Transcript: ...

    def translate(self, row: Row, audio: Sound) -> Transcript: ...

    def transcribe_together(
        self, rows: Sequence[Row], audio: Sequence[Sound]
    ) -> Sequence[Transcript | Exception]: ...


class Runner:
    """Asks one model about rows. `now_s` is a clock, `peak_bytes` tells what MLX has held."""

    def __init__(
        self,
        run: str,
        asker: Asker,
        now_s: Callable[[], float],
        peak_bytes: Callable[[], int],
        explain: Callable[[Exception], str],
    ) -> None:
        self._run = run
        self._asker = asker
        self._now_s = now_s
        self._peak_bytes = peak_bytes
        self._explain = explain
        self._is_warm = False
        self._n_failed = 0
        self._n_done = 0

    def ask(self, rows: Sequence[Row], n_together: int, on_answer: OnAnswer) -> bool:
        """Whether all rows were asked: where none of the first goes well, the rest is not tried."""
        for group in groups_alike(rows, n_together):
            answers = self._together(group) if len(group) > 1 else [self._one(group[0])]
            for row, answer in zip(group, answers, strict=True):
                self._n_failed += not answer.is_done
                self._n_done += answer.is_done
                on_answer(row, answer)
            if not self._n_done and self._n_failed >= MOST_FAILURES_AT_FIRST:
                return False
        return True

    def _one(self, row: Row) -> Answer:
        answer = Answer(self._run, row.id, is_warm=self._is_warm)
        try:
            if row.text is not None:
                start_s = self._now_s()
                heard = self._asker.transcribe(row, row.open())
                answer = _with_transcript(answer, heard, self._now_s() - start_s)
            if row.target is not None:
                start_s = self._now_s()
                written = self._asker.translate(row, row.open())
                answer = _with_translation(answer, written, self._now_s() - start_s)
        except (BrokenPipeError, MemoryError):
            raise
        except Exception as error:
            return Answer(self._run, row.id, error=self._explain(error))
        self._is_warm = True
        return replace(answer, peak_memory_bytes=self._peak_bytes())

    def _together(self, rows: Sequence[Row]) -> list[Answer]:
        """Several transcripts at once; what cannot be opened, or fails, has its error."""
        opened: dict[int, Sound] = {}
        answers: dict[int, Answer] = {}
        for place, row in enumerate(rows):
            try:
                opened[place] = row.open()
            except Exception as error:
                answers[place] = Answer(self._run, row.id, error=self._explain(error))
        start_s = self._now_s()
        asked = [rows[place] for place in opened]
        outcomes = self._asker.transcribe_together(asked, list(opened.values())) if opened else []
        wall_s = (self._now_s() - start_s) / max(1, len(opened))
        for place, outcome in zip(opened, outcomes, strict=True):
            row_id = rows[place].id
            if isinstance(outcome, Exception):
                answers[place] = Answer(self._run, row_id, error=self._explain(outcome))
                continue
            answer = Answer(
                self._run, row_id, n_together=len(opened), is_warm=self._is_warm,
                peak_memory_bytes=self._peak_bytes(),
            )  # fmt: skip
            answers[place] = _with_transcript(answer, outcome, wall_s)
        self._is_warm = self._is_warm or any(answer.is_done for answer in answers.values())
        return [answers[place] for place in range(len(rows))]


def groups_alike(rows: Sequence[Row], most: int) -> Iterator[list[Row]]:
    """Neighbours that are asked the same, at most so many; what is translated goes alone."""
    group: list[Row] = []
    for row in rows:
        if group and (len(group) == most or not _asked_alike(group[-1], row)):
            yield group
            group = []
        group.append(row)
    if group:
        yield group


def _asked_alike(one: Row, other: Row) -> bool:
    if one.target is not None or other.target is not None:
        return False
    return (one.language, one.keywords) == (other.language, other.keywords)


def _with_transcript(answer: Answer, heard: Transcript, wall_s: float) -> Answer:
    return replace(
        answer,
        hypothesis=heard.text,
        duration_s=round(heard.duration_s, 3),
        transcribe_s=round(wall_s, 4),
        keywords=tuple(
            {"term": one.term, "offered": one.offered, "found": one.found} for one in heard.keywords
        ),
        warnings=tuple(warning.code for warning in heard.warnings),
    )


def _with_translation(answer: Answer, written: Transcript, wall_s: float) -> Answer:
    return replace(
        answer,
        translation=written.text,
        duration_s=round(written.duration_s, 3),
        translate_s=round(wall_s, 4),
        warnings=answer.warnings + tuple(warning.code for warning in written.warnings),
    )
