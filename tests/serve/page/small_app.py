"""A server of the page's needs alone: the demo checkpoint behind OpenAI's form."""

import json
from collections.abc import Iterator
from typing import Any

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route, WebSocketRoute

from granite_mlx import GraniteSpeech, Segment, Transcript, Word
from granite_mlx.errors import GraniteError
from granite_mlx.serve.page import page_routes
from granite_mlx.serve.realtime import Realtime
from granite_mlx.serve.transcripts import transcript_route


def small_app(model: GraniteSpeech, token: str | None, streams: bool) -> Starlette:
    """With a token, or none; `streams` says whether segments are told as they come."""

    async def models(request: Request) -> Response:
        if is_refused(request):
            return refused("a token is missing.", 401)
        granite = {"stream": "segments"} if streams else {}
        return JSONResponse({"data": [{"id": model.model_id, "granite": granite}]})

    async def transcriptions(request: Request) -> Response:
        if is_refused(request):
            return refused("a token is missing.", 401)
        async with request.form() as form:
            sound = await form["file"].read()
            options = {
                "language": form.get("language"),
                "punctuate": form.get("punctuate") == "true",
                "keywords": form.getlist("keywords[]") or None,
            }
            to, is_streamed = form.get("to"), form.get("stream") == "true"
        try:
            transcript = await run_in_threadpool(heard, sound, to, options)
        except GraniteError as error:
            return refused(str(error), 400)
        if is_streamed:
            return StreamingResponse(events(transcript), media_type="text/event-stream")
        return JSONResponse(verbose(transcript))

    def heard(sound: bytes, to: str | None, options: dict[str, Any]) -> Transcript:
        work = model.transcribe if to is None else model.translate
        return work(sound, **options, **({} if to is None else {"to": to}))

    def is_refused(request: Request) -> bool:
        return bool(token) and request.headers.get("authorization") != f"Bearer {token}"

    return Starlette(
        routes=[
            *page_routes(),
            transcript_route(),
            Route("/v1/models", models),
            Route("/v1/audio/transcriptions", transcriptions, methods=["POST"]),
            Route("/v1/audio/translations", transcriptions, methods=["POST"]),
            WebSocketRoute("/v1/realtime", Realtime(model)),
        ]
    )


def refused(message: str, status: int) -> Response:
    return JSONResponse({"error": {"message": message}}, status)


def verbose(transcript: Transcript) -> dict[str, Any]:
    """OpenAI's verbose_json, with our extensions."""
    return {
        "task": transcript.task,
        "language": "unknown",
        "duration": transcript.duration_s,
        "text": transcript.text,
        "segments": [segment_record(one) for one in transcript.segments],
        "words": [word_record(one) for one in transcript.words],
        "granite": {
            "warnings": [
                {"code": one.code, "message": one.message, "start": one.start_s, "end": one.end_s}
                for one in transcript.warnings
            ],
            "keywords": [
                {"term": one.term, "offered": one.offered, "found": one.found}
                for one in transcript.keywords
            ],
        },
    }


def events(transcript: Transcript) -> Iterator[str]:
    for one in transcript.segments:
        words = [word_record(word) for word in one.words]
        yield event("transcript.text.segment", {**segment_record(one), "words": words})
    yield event("transcript.text.done", verbose(transcript))


def event(kind: str, fields: dict[str, Any]) -> str:
    return f"event: {kind}\ndata: {json.dumps({'type': kind, **fields})}\n\n"


def segment_record(segment: Segment) -> dict[str, Any]:
    return {
        "start": segment.start_s,
        "end": segment.end_s,
        "text": segment.text,
        "confidence": segment.confidence,
        "speaker": segment.speaker,
    }


def word_record(word: Word) -> dict[str, Any]:
    return {
        "word": word.text,
        "start": word.start_s,
        "end": word.end_s,
        "confidence": word.confidence,
    }
