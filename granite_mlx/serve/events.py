"""Segments as they become final -> OpenAI's server-sent events.

All deltas together are the text of `transcript.text.done`. Where verbose_json is asked for, which
OpenAI does not stream, each segment is told whole instead, with its words.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

from granite_mlx.serve.answers import (
    logprobs,
    segment_record,
    space_of,
    usage,
    verbose,
    word_record,
)
from granite_mlx.serve.errors import ApiError, ClientGone, internal_error, log_failure
from granite_mlx.serve.fields import Asked
from granite_mlx.transcript import Segment, Transcript
from granite_mlx.transcript.characters import between, joined

EVENT_STREAM = "text/event-stream; charset=utf-8"


async def events(parts: AsyncIterator[Segment | Transcript], asked: Asked) -> AsyncIterator[bytes]:
    """The events of a transcription. An error before the first one is raised, a later one told.

    `parts` are segments, and the whole transcript behind them.
    """
    write = _Verbose(asked) if asked.response_format == "verbose_json" else _Deltas(asked)
    n_told = 0
    try:
        async for part in parts:
            if isinstance(part, Transcript):
                yield _event("transcript.text.done", write.done(part))
            elif part.text:
                yield _event(*write.segment(part))
                n_told += 1
    except ClientGone:  # nobody is there to be told
        raise
    except ApiError as error:
        if not n_told:
            raise
        yield _event("error", error.body())
    except Exception as error:
        if not n_told:
            raise
        log_failure("a streamed answer", error)
        yield _event("error", internal_error().body())


class _Deltas:
    """OpenAI's own."""

    def __init__(self, asked: Asked) -> None:
        self._asked, self._space = asked, space_of(asked)
        self._told: list[Segment] = []

    def segment(self, segment: Segment) -> tuple[str, dict[str, Any]]:
        gap = between(self._told[-1].text, segment.text, self._space) if self._told else ""
        delta = f"{gap}{segment.text}"
        event: dict[str, Any] = {"delta": delta}
        if self._asked.with_logprobs:
            before = self._told[-1:]
            entries = logprobs([*before, segment], self._space)
            event["logprobs"] = entries[len(logprobs(before, self._space)) :]
        self._told.append(segment)
        return "transcript.text.delta", event

    def done(self, transcript: Transcript) -> dict[str, Any]:
        event: dict[str, Any] = {"text": joined((one.text for one in self._told), self._space)}
        if self._asked.with_logprobs:
            event["logprobs"] = logprobs(self._told, self._space)
        if self._asked.to is None:
            event["usage"] = usage(transcript)
        return event


class _Verbose:
    """Ours."""

    def __init__(self, asked: Asked) -> None:
        self._asked, self._n_told = asked, 0

    def segment(self, segment: Segment) -> tuple[str, dict[str, Any]]:
        event = segment_record(self._n_told, segment, self._asked)
        event["words"] = [word_record(word) for word in segment.words]
        self._n_told += 1
        return "transcript.text.segment", event

    def done(self, transcript: Transcript) -> dict[str, Any]:
        return verbose(transcript, self._asked)


def _event(kind: str, fields: dict[str, Any]) -> bytes:
    text = json.dumps({"type": kind, **fields}, ensure_ascii=False, allow_nan=False)
    return f"event: {kind}\ndata: {text}\n\n".encode()
