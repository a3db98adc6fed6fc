"""`POST /v1/transcripts/{format}`: a transcript as JSON (schema version 1) -> another format.

Subtitles have one set of rules, ours; the page has them written here rather than by its own.
"""

from __future__ import annotations

from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from granite_mlx.transcript import FORMATS, Transcript
from granite_mlx.transcript.writers import writers

LARGEST_BYTES = 64 * 2**20
"""Of one transcript: some 20 hours of speech."""


def transcript_route() -> Route:
    """The route; whether a client may ask is decided in front of it."""
    return Route("/v1/transcripts/{format}", _written, methods=["POST"])


async def _written(request: Request) -> Response:
    name = request.path_params["format"]
    if name not in FORMATS:
        return _refused(404, f"the format {name!r} is none of {', '.join(FORMATS)}.", "format")
    body = bytearray()
    try:
        async for part in request.stream():
            body += part
            if len(body) > LARGEST_BYTES:
                return _refused(413, f"a transcript has at most {LARGEST_BYTES} bytes.", None)
    except ClientDisconnect:
        return Response(status_code=400)  # nobody reads it
    try:
        written = await run_in_threadpool(_as_format, bytes(body), name)
    except ValueError as error:
        return _refused(400, str(error), None)
    return Response(written, media_type="text/plain; charset=utf-8")


def _as_format(body: bytes, name: str) -> bytes:
    try:
        given = body.decode()
    except UnicodeDecodeError as error:
        raise ValueError("This is not a transcript: it is not UTF-8.") from error
    text = writers()[name](Transcript.from_json(given))
    return f"{text}\n".encode("utf-8", "backslashreplace")


def _refused(status: int, message: str, param: str | None) -> Response:
    error = {"type": "invalid_request_error", "code": None, "message": message, "param": param}
    return JSONResponse({"error": error}, status)
