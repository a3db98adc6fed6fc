"""Transcripts as OpenAI's answers.

What is not known is null, never made up; docs/server.md tells where our figures differ.
"""

from __future__ import annotations

import json
import math
import zlib
from collections.abc import Sequence
from typing import Any

from granite_mlx.decoding.languages import LANGUAGE_NAMES
from granite_mlx.serve.fields import Asked
from granite_mlx.transcript import Segment, Transcript, Word
from granite_mlx.transcript.characters import between
from granite_mlx.transcript.types import LANGUAGES_WITHOUT_SPACES

LEAST_CONFIDENCE = 1e-6
JSON, TEXT, VTT = "application/json", "text/plain; charset=utf-8", "text/vtt; charset=utf-8"


def answer(transcript: Transcript, asked: Asked) -> tuple[bytes, str]:
    """The body of an answer, and its content type."""
    match asked.response_format:
        case "json":
            return _json(_short(transcript, asked)), JSON
        case "verbose_json":
            return _json(verbose(transcript, asked)), JSON
        case "srt":
            return _lines(transcript.to_srt()), TEXT
        case "vtt":
            return _lines(transcript.to_vtt()), VTT
        case _:
            return _lines(transcript.text), TEXT


def space_of(asked: Asked) -> str:
    """What stands between the segments of a text, but for Chinese and Japanese ones."""
    written_in = asked.to or asked.options["language"]
    return "" if written_in in LANGUAGES_WITHOUT_SPACES else " "


def logprobs(segments: Sequence[Segment], space: str) -> list[dict[str, Any]]:
    """An entry a word, or a segment where its words are not known; together they are the text."""
    entries: list[dict[str, Any]] = []
    before = ""
    for segment in segments:
        if not segment.text:
            continue
        words = segment.words if _is_of(segment) else ()
        parts = [(word.text, word.confidence) for word in words]
        for place, (text, confidence) in enumerate(parts or [(segment.text, segment.confidence)]):
            gap = " " if place else between(before, text, space) if before else ""
            token = f"{gap}{text}"
            entries.append(
                {
                    "token": token,
                    "bytes": list(token.encode()),
                    "logprob": _logarithm(confidence),
                }
            )
        before = segment.text
    return entries


def _short(transcript: Transcript, asked: Asked) -> dict[str, Any]:
    found: dict[str, Any] = {"text": transcript.text}
    if asked.with_logprobs:
        found["logprobs"] = logprobs(transcript.segments, space_of(asked))
    if asked.to is None:
        found["usage"] = usage(transcript)
    if transcript.warnings:
        found["granite"] = {"warnings": _warnings(transcript)}
    return found


def verbose(transcript: Transcript, asked: Asked) -> dict[str, Any]:
    """OpenAI's verbose_json, with our extensions."""
    written_in = transcript.target_language or transcript.language
    found: dict[str, Any] = {
        "task": transcript.task,
        "language": "unknown" if written_in is None else LANGUAGE_NAMES[written_in].lower(),
        "duration": _rounded(transcript.duration_s),
        "text": transcript.text,
    }
    if "segment" in asked.granularities:
        found["segments"] = [
            segment_record(number, segment, asked)
            for number, segment in enumerate(transcript.segments)
        ]
    if "word" in asked.granularities:
        found["words"] = [word_record(word) for word in transcript.words]
    if asked.to is None:
        found["usage"] = usage(transcript)
    keywords = [
        {"term": one.term, "offered": one.offered, "found": one.found}
        for one in transcript.keywords
    ]
    found["granite"] = {"warnings": _warnings(transcript), "keywords": keywords}
    return found


def word_record(word: Word) -> dict[str, Any]:
    """A word as OpenAI writes it, and its confidence."""
    return {
        "word": word.text,
        "start": _rounded(word.start_s),
        "end": _rounded(word.end_s),
        "confidence": word.confidence,
    }


def segment_record(number: int, segment: Segment, asked: Asked) -> dict[str, Any]:
    """A segment as OpenAI writes it, with confidence and speaker."""
    text = segment.text.encode()
    return {
        "id": number,
        "seek": 0,
        "start": _rounded(segment.start_s),
        "end": _rounded(segment.end_s),
        "text": segment.text,
        "tokens": [],
        "temperature": asked.options["temperature"],
        "avg_logprob": _logarithm(segment.confidence),
        "compression_ratio": _rounded(len(text) / len(zlib.compress(text))),
        "no_speech_prob": 0.0,
        "confidence": segment.confidence,
        "speaker": segment.speaker,
    }


def _warnings(transcript: Transcript) -> list[dict[str, Any]]:
    return [
        {"code": one.code, "message": one.message, "start": one.start_s, "end": one.end_s}
        for one in transcript.warnings
    ]


def usage(transcript: Transcript) -> dict[str, Any]:
    """How much was heard."""
    return {"type": "duration", "seconds": _rounded(transcript.duration_s)}


def _is_of(segment: Segment) -> bool:
    """Whether the words are the text."""
    return " ".join(word.text for word in segment.words) == segment.text


def _logarithm(probability: float | None) -> float | None:
    return None if probability is None else round(math.log(max(probability, LEAST_CONFIDENCE)), 4)


def _rounded(value: float) -> float:
    return round(float(value), 3)


def _json(found: dict[str, Any]) -> bytes:
    return json.dumps(found, ensure_ascii=False, allow_nan=False).encode()


def _lines(text: str) -> bytes:
    return f"{text}\n".encode("utf-8", "backslashreplace")
