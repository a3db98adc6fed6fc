"""What a model made of one row, as it is kept in a line of utterances.jsonl."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from granite_mlx.evaluate.rows import Row


@dataclass(frozen=True)
class Answer:
    """Texts are None where they were not asked for, or where `error` says why there are none.

    Attributes:
        run: the name of the model and the way it was asked.
        id: of the row.
        hypothesis: the transcript.
        translation: the text in the row's target language.
        duration_s: of the recording.
        transcribe_s, translate_s: from the call to its result. Where several recordings were
            transcribed together (`n_together`), each has an equal part of their time.
        is_warm: not the first call of a model, which pays for what is made once.
        peak_memory_bytes: the most that MLX has held so far in this run, weights included.
        keywords: of the row's terms, those that were in the prompt (`offered`).
        warnings: the codes of the transcript's warnings.
    """

    run: str
    id: str
    hypothesis: str | None = None
    translation: str | None = None
    duration_s: float | None = None
    transcribe_s: float | None = None
    translate_s: float | None = None
    n_together: int = 1
    is_warm: bool = True
    peak_memory_bytes: int | None = None
    keywords: tuple[Mapping[str, Any], ...] = ()
    warnings: tuple[str, ...] = ()
    error: str | None = None

    @property
    def is_done(self) -> bool:
        return self.error is None


FIELDS = {field.name: field for field in dataclasses.fields(Answer)}
NUMBERS = ("duration_s", "transcribe_s", "translate_s", "peak_memory_bytes")
TEXTS = ("hypothesis", "translation", "error")


def to_record(row: Row, answer: Answer) -> dict[str, Any]:
    """A line: the row and the answer to it."""
    asked = {
        "audio": row.audio_name,
        "language": row.language,
        "reference": row.text,
        "target": row.target,
        "target_language": row.target_language,
        "terms": list(row.keywords),
    }
    told = {name: getattr(answer, name) for name in FIELDS}
    return {"run": told.pop("run"), "id": told.pop("id"), **asked, **told}


def from_record(record: Mapping[str, Any]) -> Answer:
    """The answer in a line.

    Raises:
        ValueError: it is none.
    """
    told = {name: record[name] for name in FIELDS if name in record}
    for name in ("run", "id"):
        if not isinstance(told.get(name), str):
            raise ValueError(f"{name} is no text")
    if any(not isinstance(told.get(name), (str, type(None))) for name in TEXTS):
        raise ValueError("a text is none")
    if any(not _is_number(told.get(name, 0)) for name in NUMBERS):
        raise ValueError("a number is none")
    for name in ("keywords", "warnings"):
        told[name] = tuple(told.get(name) or ())
    if not all(isinstance(one, dict) for one in told["keywords"]):
        raise ValueError("a keyword is none")
    return Answer(**told)


def _is_number(value: object) -> bool:
    """Or not known."""
    return value is None or (isinstance(value, (int, float)) and math.isfinite(value))
