"""The folder of an evaluation: what was asked, and a line for each answer, written at once.

An evaluation that was stopped goes on from there; one that asks something else is refused.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, BinaryIO

from granite_mlx.evaluate.answers import Answer, from_record, to_record
from granite_mlx.evaluate.errors import EvaluationError
from granite_mlx.evaluate.rows import Row
from granite_mlx.locking import AT_WORK, opened_alone
from granite_mlx.strict_json import TwiceError, read_json

SETTINGS, UTTERANCES = "settings.json", "utterances.jsonl"
VERSION = 1

Key = tuple[str, str]
"""A run's name and a row's id."""


class Journal:
    """An evaluation's folder, locked. `answers` holds what is done already."""

    def __init__(self, folder: Path, settings: Mapping[str, Any]) -> None:
        """Open the folder, or make it.

        Args:
            settings: what is asked; JSON values.

        Raises:
            EvaluationError: it holds an evaluation with other settings or a damaged one, is in use
                by another process, or cannot be written.
        """
        self._folder = folder
        self._settings = {"version": VERSION, **settings}
        self.models: dict[str, Any] = {}
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._check_settings()
            self._file = _locked(folder / UTTERANCES)
        except OSError as error:
            raise EvaluationError(
                f"-o {folder}: it cannot be written ({error.strerror})."
            ) from error
        try:
            self._write_settings()
            self.answers = _read_answers(folder / UTTERANCES)
        except BaseException:
            self.close()
            raise

    def add(self, row: Row, answer: Answer) -> None:
        """Write one line, which is on the disk when this returns. OSError where it cannot be."""
        data = _line(to_record(row, answer))
        if self._file.write(data) != len(data):
            raise OSError(None, "the disk is full", str(self._folder / UTTERANCES))
        os.fsync(self._file.fileno())
        self.answers[answer.run, answer.id] = answer

    def note_model(self, run: str, identity: Mapping[str, Any]) -> None:
        """Keep which weights a run has; they must be the same when it goes on.

        Raises:
            EvaluationError: they are not.
        """
        before = self.models.setdefault(run, dict(identity))
        if before != identity:
            raise EvaluationError(
                f"-o {self._folder}: the model of {run} is another one now than when this "
                "evaluation was begun; name another folder."
            )
        self._write_settings()

    def finish(self, records: Iterable[Mapping[str, Any]]) -> None:
        """Replace all lines, scores with them, at once."""
        write_whole(self._folder / UTTERANCES, b"".join(map(_line, records)))

    def close(self) -> None:
        self._file.close()

    def __enter__(self) -> Journal:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _check_settings(self) -> None:
        path = self._folder / SETTINGS
        if not path.exists():
            if (self._folder / UTTERANCES).exists():
                raise EvaluationError(
                    f"-o {self._folder}: it holds {UTTERANCES} without {SETTINGS}; name another "
                    "folder."
                )
            return
        try:
            before = json.loads(path.read_bytes())
            self.models = dict(before.pop("models"))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise EvaluationError(
                f"-o {self._folder}: its {SETTINGS} is damaged; name another folder."
            ) from error
        now = json.loads(json.dumps(self._settings))
        changed = [name for name in {**before, **now} if before.get(name) != now.get(name)]
        if changed:
            raise EvaluationError(
                f"-o {self._folder}: the evaluation there differs from this one in "
                f"{', '.join(changed)}; name another folder, or repeat its command to go on."
            )

    def _write_settings(self) -> None:
        content = {**self._settings, "models": self.models}
        data = json.dumps(content, indent=1, ensure_ascii=False).encode("utf-8", "backslashreplace")
        write_whole(self._folder / SETTINGS, data + b"\n")


def write_whole(path: Path, data: bytes) -> None:
    """Write a file that appears complete or not at all."""
    part = path.with_name(f".{path.name}.part")
    try:
        with open(part, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


def read_records(path: Path) -> list[tuple[int, dict[str, Any]]]:
    """The objects in a file of JSON lines, with the number of their line.

    Raises:
        EvaluationError: it cannot be read, or a line is no object; the message names it.
    """
    try:
        lines = path.read_bytes().split(b"\n")
    except OSError as error:
        raise EvaluationError(f"{path} cannot be read ({error.strerror}).") from error
    records = []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            record = read_json(line)
        except TwiceError as error:
            raise EvaluationError(f"{path}, line {number}: {error}") from error
        except (ValueError, RecursionError) as error:
            raise EvaluationError(
                f"{path}, line {number}, is no JSON in UTF-8 ({error})."
            ) from error
        if not isinstance(record, dict):
            raise EvaluationError(f"{path}, line {number}, is no object.")
        records.append((number, record))
    return records


def _locked(path: Path) -> BinaryIO:
    """The file, to be added to by nobody else. A line that a crash has cut off goes."""
    try:
        file = opened_alone(path)
    except BlockingIOError as error:
        raise EvaluationError(f"-o {path.parent}: {AT_WORK}") from error
    whole = path.read_bytes().rfind(b"\n") + 1
    if whole < path.stat().st_size:
        os.truncate(path, whole)
    return file


def _read_answers(path: Path) -> dict[Key, Answer]:
    answers = {}
    for number, record in read_records(path):
        try:
            answer = from_record(record)
        except (TypeError, ValueError) as error:
            raise EvaluationError(
                f"{path}, line {number}, is none of an evaluation ({error}); delete the line, or "
                "name another folder."
            ) from error
        answers[answer.run, answer.id] = answer
    return answers


def _line(record: Mapping[str, Any]) -> bytes:
    text = json.dumps(record, ensure_ascii=False, allow_nan=False) + "\n"
    # A lone surrogate, which stands for a byte of a name, becomes its own escape.
    return text.encode("utf-8", "backslashreplace")
