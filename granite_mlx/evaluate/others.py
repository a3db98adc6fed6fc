"""Runs that are only compared: of earlier evaluations, and texts of other programs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from granite_mlx.evaluate.answers import Answer, from_record
from granite_mlx.evaluate.errors import EvaluationError
from granite_mlx.evaluate.journal import UTTERANCES, read_records
from granite_mlx.evaluate.rows import Row

TEXT_KEYS = ("hypothesis", "pred_text", "prediction")
"""The second is NeMo's and the leaderboard's."""

AUDIO_KEYS = ("audio", "audio_filepath")

N_NAMED = 3
"""Rows that a note names."""

EXAMPLE = '{"id": "1089-134686-0000", "hypothesis": "he hoped there would be stew"}'


@dataclass(frozen=True)
class Run:
    """Answers by the id of their row.

    `strangers` are what its other lines call their rows, which are not evaluated here.
    """

    name: str
    answers: Mapping[str, Answer]
    strangers: tuple[str, ...] = ()


def read_other_runs(path: Path, rows: Sequence[Row]) -> list[Run]:
    """The runs in an evaluation's folder, or the one in a file of JSON lines with texts.

    Raises:
        EvaluationError: it cannot be read, or has no text for any of the rows.
    """
    file = path / UTTERANCES if path.is_dir() else path
    by_name = {row.audio_name: row.id for row in rows} | {row.id: row.id for row in rows}
    name = path.name if path.is_dir() else path.stem
    runs: dict[str, dict[str, Answer]] = {}
    strangers: dict[str, dict[str, None]] = {}
    for number, record in read_records(file):
        row_id = _row_id(record, by_name)
        if row_id is None:
            strangers.setdefault(record.get("run") or "", {})[_called(record, number)] = None
        elif answer := _answer(record, row_id, f"{file}, line {number}"):
            own = runs.setdefault(answer.run, {})
            if row_id in own and not path.is_dir():
                raise EvaluationError(
                    f"--compare {file}, line {number}: row {row_id!r} is there already; keep one "
                    "line of each."
                )
            own[row_id] = answer
    if not runs:
        raise EvaluationError(
            f"--compare {path}: no line has a text for a row of this source, by its id or audio; "
            f"lines look like {EXAMPLE}."
        )
    several = len(runs) > 1
    return [
        Run(f"{name}: {run}" if several and run else name, answers, (*strangers.get(run, ()),))
        for run, answers in runs.items()
    ]


def notes_on(run: Run, rows: Sequence[Row]) -> list[str]:
    """What a reader must know before comparing: rows that it lacks, lines that say nothing here."""
    lacking = [row.id for row in rows if row.id not in run.answers]
    notes = []
    if lacking:
        notes.append(
            f"{run.name} has no text for {len(lacking)} of {len(rows)} rows ({_first(lacking)}): "
            f"its own figures are those of the other {len(rows) - len(lacking)}, differences those "
            "of the rows that both runs have."
        )
    if run.strangers:
        notes.append(
            f"{run.name} has {len(run.strangers)} lines about rows that are not evaluated here "
            f"({_first(run.strangers)}); they were left out."
        )
    return notes


def _first(names: Sequence[str]) -> str:
    return ", ".join(map(repr, names[:N_NAMED])) + (", ..." if len(names) > N_NAMED else "")


def _called(record: Mapping[str, Any], number: int) -> str:
    names = (record.get(key) for key in ("id", *AUDIO_KEYS))
    return next((str(one) for one in names if isinstance(one, (str, int))), f"line {number}")


def _row_id(record: Mapping[str, Any], by_name: Mapping[str, str]) -> str | None:
    for key in ("id", *AUDIO_KEYS):
        name = record.get(key)
        if isinstance(name, (str, int)) and str(name) in by_name:
            return by_name[str(name)]
    return None


def _answer(record: Mapping[str, Any], row_id: str, where: str) -> Answer | None:
    """None where the other program has failed."""
    if record.get("error"):
        return None
    texts = {name: record.get(name) for name in TEXT_KEYS}
    text = next((value for value in texts.values() if value is not None), None)
    told = {**record, "run": record.get("run") or "", "id": row_id, "hypothesis": text}
    if text is None and record.get("translation") is None:
        raise EvaluationError(
            f"{where}, has neither {', '.join(TEXT_KEYS)} nor translation; lines look like "
            f"{EXAMPLE}."
        )
    try:
        return from_record(told)
    except (TypeError, ValueError) as error:
        raise EvaluationError(f"{where}, makes no sense ({error}).") from error
