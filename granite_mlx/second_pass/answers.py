"""The result of a question about a transcript."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from granite_mlx.second_pass.quotes import Quote

SCHEMA_VERSION = 1


@dataclass(frozen=True)
class Citation:
    """A segment that an answer refers to."""

    segment: int
    start_s: float
    end_s: float
    text: str


@dataclass(frozen=True)
class AnswerWarning:
    """Something that the reader should know; `code` is stable, `message` is a sentence."""

    code: str
    message: str


@dataclass(frozen=True)
class Answer:
    """What a text model made of a transcript.

    `text` is what there is to read; `value` is the same as a JSON value, where that was asked for.
    `quotes` are all that the answer puts between quotation marks: those that were not said are
    marked in `text` and `value`, too. The transcript was read in `n_parts`.
    """

    task: str
    question: str | None
    text: str
    value: Any
    citations: tuple[Citation, ...]
    quotes: tuple[Quote, ...]
    warnings: tuple[AnswerWarning, ...]
    text_model: str
    speech_model: str
    n_parts: int

    def to_record(self) -> dict[str, Any]:
        """As what JSON can hold (docs/second-pass.md)."""
        return {
            "schema_version": SCHEMA_VERSION,
            "task": self.task,
            "question": self.question,
            "answer": self.text if self.value is None else self.value,
            "citations": [
                {
                    "segment": c.segment,
                    "start_s": _milliseconds(c.start_s),
                    "end_s": _milliseconds(c.end_s),
                    "text": c.text,
                }
                for c in self.citations
            ],
            "quotes": [
                {
                    "text": quote.text,
                    "supported": quote.is_supported,
                    "segments": list(quote.segments),
                    "start_s": _milliseconds(quote.start_s),
                    "end_s": _milliseconds(quote.end_s),
                }
                for quote in self.quotes
            ],
            "warnings": [{"code": w.code, "message": w.message} for w in self.warnings],
            "text_model": self.text_model,
            "speech_model": self.speech_model,
            "n_parts": self.n_parts,
        }

    def to_json(self) -> str:
        """That record as JSON in one line, without a newline at its end."""
        return json.dumps(self.to_record(), ensure_ascii=False, allow_nan=False)


def _milliseconds(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 3)
