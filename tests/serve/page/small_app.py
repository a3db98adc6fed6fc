"""A server of the page's needs alone: the demo checkpoint behind OpenAI's form."""

import json

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route, WebSocketRoute

from granite_mlx import GraniteSpeech
from granite_mlx.errors import GraniteError
from granite_mlx.serve.page import page_routes
from granite_mlx.serve.realtime import Realtime
from granite_mlx.serve.transcripts import transcript_route


def small_app(model: GraniteSpeech, token: str | None = None) -> Starlette:
    async def models(request: Request) -> Response:
        if token and request.headers.get("authorization") != f"Bearer {token}":
            return JSONResponse({"error": {"message": "a token is missing."}}, 401)
        return JSONResponse({"data": [{"id": model.model_id}]})

    async def transcriptions(request: Request) -> Response:
        async with request.form() as form:
            sound = await form["file"].read()
            to = form.get("to")
        try:
            segments = await run_in_threadpool(heard, sound, to)
        except GraniteError as error:
            return JSONResponse({"error": {"message": str(error)}}, 400)
        return StreamingResponse(events(segments), media_type="text/event-stream")

    def heard(sound: bytes, to: str | None) -> list:
        work = model.translate(sound, to=to) if to else model.transcribe(sound)
        return list(work.segments)

    def events(segments: list):
        told = [
            {
                "id": i, "start": one.start_s, "end": one.end_s, "text": one.text,
                "confidence": one.confidence,
                "words": [
                    {"word": w.text, "start": w.start_s, "end": w.end_s, "confidence": w.confidence}
                    for w in one.words
                ],
            }
            for i, one in enumerate(segments)
        ]  # fmt: skip
        for one in told:
            yield f"data: {json.dumps({'type': 'transcript.text.segment', **one})}\n\n"
        done = {"type": "transcript.text.done", "text": "", "segments": told}
        yield f"data: {json.dumps(done)}\n\n"

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
