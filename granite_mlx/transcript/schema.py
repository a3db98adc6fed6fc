"""Transcripts as JSON, schema version 1: docs/transcript-schema.md describes every key.

Writing goes through `to_record`, a plain dict in the order of the document; reading checks every
key that the document lists and ignores all others.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, NoReturn, cast

from granite_mlx.transcript.types import (
    KeywordReport,
    Segment,
    Task,
    Transcript,
    TranscriptWarning,
    Word,
)

SCHEMA_VERSION = 1
TASKS = ("transcribe", "translate")
SHOWN_CHARACTERS = 40  # of a wrong value, in an error
GREATEST = 1e6  # of a number: eleven days, in seconds


def to_json(transcript: Transcript) -> str:
    """The transcript as indented JSON, without a newline at the end."""
    return json.dumps(to_record(transcript), ensure_ascii=False, indent=2, allow_nan=False)


def to_record(transcript: Transcript) -> dict[str, Any]:
    """The transcript as what JSON can hold."""
    return {
        "schema_version": SCHEMA_VERSION,
        "task": transcript.task,
        "text": transcript.text,
        "language": transcript.language,
        "target_language": transcript.target_language,
        "duration_s": _milliseconds(transcript.duration_s),
        "model": transcript.model,
        "segments": [_segment_record(i, segment) for i, segment in enumerate(transcript.segments)],
        "words": [
            _word_record(word, i)
            for i, segment in enumerate(transcript.segments)
            for word in segment.words
        ],
        "keywords": [_keyword_record(keyword) for keyword in transcript.keywords],
        "warnings": [_warning_record(warning) for warning in transcript.warnings],
    }


def from_json(text: str) -> Transcript:
    """The transcript of a JSON document of schema version 1; ValueError names what is wrong."""
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"This is not a transcript: it is not JSON ({error}).") from error
    fields = _Fields(document, "")
    version = fields.get("schema_version")
    if version != SCHEMA_VERSION or isinstance(version, bool):
        raise ValueError(
            f"schema_version is {json.dumps(version)}, but this version of granite-mlx reads "
            f"transcripts of version {SCHEMA_VERSION}."
        )
    fields.text("text")  # derived from the segments: it must be there, but they decide
    words = _words_by_segment(fields)
    return Transcript(
        segments=tuple(_segments(fields, words)),
        language=fields.optional_text("language"),
        target_language=fields.optional_text("target_language"),
        task=fields.task("task"),
        duration_s=fields.number("duration_s"),
        model=fields.text("model"),
        warnings=tuple(_warning(entry) for entry in fields.objects("warnings")),
        keywords=tuple(_keyword(entry) for entry in fields.objects("keywords")),
    )


def _segment_record(index: int, segment: Segment) -> dict[str, Any]:
    return {
        "id": index,
        "start_s": _milliseconds(segment.start_s),
        "end_s": _milliseconds(segment.end_s),
        "text": segment.text,
        "confidence": segment.confidence,
        "speaker": segment.speaker,
        "language": segment.language,
        "target_language": segment.target_language,
    }


def _word_record(word: Word, segment_index: int) -> dict[str, Any]:
    return {
        "start_s": _milliseconds(word.start_s),
        "end_s": _milliseconds(word.end_s),
        "text": word.text,
        "confidence": word.confidence,
        "segment": segment_index,
    }


def _keyword_record(keyword: KeywordReport) -> dict[str, Any]:
    times = keyword.times
    return {
        "term": keyword.term,
        "offered": keyword.offered,
        "found": keyword.found,
        "times": None if times is None else [[_milliseconds(t) for t in span] for span in times],
    }


def _warning_record(warning: TranscriptWarning) -> dict[str, Any]:
    return {
        "code": warning.code,
        "message": warning.message,
        "start_s": None if warning.start_s is None else _milliseconds(warning.start_s),
        "end_s": None if warning.end_s is None else _milliseconds(warning.end_s),
    }


def _milliseconds(seconds: float) -> float:
    return round(float(seconds), 3)


def _words_by_segment(fields: _Fields) -> dict[int, list[Word]]:
    words: dict[int, list[Word]] = {}
    n_segments = sum(1 for _ in fields.objects("segments"))
    for entry in fields.objects("words"):
        segment = entry.integer("segment")
        if not 0 <= segment < n_segments:
            entry.refuse("segment", f"the id of one of the {n_segments} segments")
        words.setdefault(segment, []).append(_word(entry))
    return words


def _segments(fields: _Fields, words: dict[int, list[Word]]) -> Iterator[Segment]:
    for index, entry in enumerate(fields.objects("segments")):
        if entry.integer("id") != index:
            entry.refuse("id", f"{index}, the segment's place in the list")
        yield Segment(
            start_s=entry.number("start_s"),
            end_s=entry.number("end_s"),
            text=entry.text("text"),
            confidence=entry.optional_number("confidence"),
            speaker=entry.optional_text("speaker"),
            words=tuple(words.get(index, ())),
            language=entry.later_text("language"),
            target_language=entry.later_text("target_language"),
        )


def _word(entry: _Fields) -> Word:
    return Word(
        start_s=entry.number("start_s"),
        end_s=entry.number("end_s"),
        text=entry.text("text"),
        confidence=entry.optional_number("confidence"),
    )


def _keyword(entry: _Fields) -> KeywordReport:
    return KeywordReport(
        term=entry.text("term"),
        offered=entry.boolean("offered"),
        found=entry.boolean("found"),
        times=entry.optional_spans("times"),
    )


def _warning(entry: _Fields) -> TranscriptWarning:
    return TranscriptWarning(
        code=entry.text("code"),
        message=entry.text("message"),
        start_s=entry.optional_number("start_s"),
        end_s=entry.optional_number("end_s"),
    )


class _Fields:
    """One JSON object, its keys read with their types.

    `path` is where the object stands in the document, as "segments[2]"; "" is the document.
    """

    def __init__(self, value: object, path: str) -> None:
        if not isinstance(value, dict):
            where = path or "The document"
            raise ValueError(f"{where} must be an object, not {_kind(value)}.")
        self._values: dict[str, object] = value
        self._path = path

    def get(self, key: str) -> object:
        if key not in self._values:
            raise ValueError(f"{self._name(key)} is missing.")
        return self._values[key]

    def text(self, key: str) -> str:
        value = self.get(key)
        return value if isinstance(value, str) else self.refuse(key, "a string")

    def optional_text(self, key: str) -> str | None:
        value = self.get(key)
        if value is None or isinstance(value, str):
            return value
        return self.refuse(key, "a string or null")

    def later_text(self, key: str) -> str | None:
        """Of a key that the first files of this version do not have."""
        return self.optional_text(key) if key in self._values else None

    def number(self, key: str) -> float:
        number = _finite(self.get(key))
        return self.refuse(key, f"a number up to {GREATEST:g}") if number is None else number

    def optional_number(self, key: str) -> float | None:
        if self.get(key) is None:
            return None
        number = _finite(self.get(key))
        wanted = f"a number up to {GREATEST:g}, or null"
        return self.refuse(key, wanted) if number is None else number

    def integer(self, key: str) -> int:
        value = self.get(key)
        if isinstance(value, int) and not isinstance(value, bool):
            return value
        return self.refuse(key, "a whole number")

    def boolean(self, key: str) -> bool:
        value = self.get(key)
        return value if isinstance(value, bool) else self.refuse(key, "true or false")

    def task(self, key: str) -> Task:
        value = self.get(key)
        return cast(Task, value) if value in TASKS else self.refuse(key, " or ".join(TASKS))

    def objects(self, key: str) -> Iterator[_Fields]:
        value = self.get(key)
        if not isinstance(value, list):
            self.refuse(key, "a list")
        for index, entry in enumerate(value):
            yield _Fields(entry, f"{self._name(key)}[{index}]")

    def optional_spans(self, key: str) -> tuple[tuple[float, float], ...] | None:
        value = self.get(key)
        if value is None:
            return None
        spans = [_span(entry) for entry in value] if isinstance(value, list) else [None]
        known = tuple(span for span in spans if span is not None)
        return known if len(known) == len(spans) else self.refuse(key, "a list of pairs or null")

    def refuse(self, key: str, expected: str) -> NoReturn:
        raise ValueError(f"{self._name(key)} must be {expected}, not {_kind(self._values[key])}.")

    def _name(self, key: str) -> str:
        return f"{self._path}.{key}" if self._path else key


def _finite(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if abs(number) <= GREATEST else None  # NaN is neither


def _span(value: object) -> tuple[float, float] | None:
    match value:
        case [start, end]:
            start_s, end_s = _finite(start), _finite(end)
            return None if start_s is None or end_s is None else (start_s, end_s)
        case _:
            return None


def _kind(value: object) -> str:
    """How an error names a value: short ones as they are, others by their type."""
    match value:
        case dict():
            return "an object"
        case list():
            return "a list"
        case _:
            shown = json.dumps(value, ensure_ascii=False)
            return shown if len(shown) <= SHOWN_CHARACTERS else f"{shown[:SHOWN_CHARACTERS]}..."
