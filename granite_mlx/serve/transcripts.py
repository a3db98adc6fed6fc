"""`POST /v1/transcripts/{format}`: a transcript as JSON (schema version 1) -> another format.

Subtitles have one set of rules, ours; the page has them written here rather than by its own.
"""

from __future__ import annotations

import asyncio

from starlette.types import Receive, Scope, Send

from granite_mlx.serve.connection import Connection
from granite_mlx.serve.errors import ApiError
from granite_mlx.serve.limits import MIB, ServerLimits
from granite_mlx.serve.places import Places
from granite_mlx.serve.stopping import Stop
from granite_mlx.transcript import FORMATS, Transcript
from granite_mlx.transcript.writers import writers

LARGEST_BYTES = 16 * MIB
"""Of one transcript: more than ten hours of speech."""

N_AT_ONCE = 4
"""They are in memory."""


class TranscriptEndpoint:
    """The endpoint; whether a client may ask is decided in front of it."""

    def __init__(self, limits: ServerLimits, stop: Stop) -> None:
        self._limits, self._stop, self._places = limits, stop, Places(N_AT_ONCE)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        connection = Connection(receive, send, self._limits, self._stop)
        name = scope["path_params"]["format"]
        if name not in FORMATS:
            known = ", ".join(FORMATS)
            raise ApiError(404, f"the format {name[:80]!r} is none of {known}.", param="format")
        with self._places.place():
            body = bytearray()
            async for part in connection.body():
                body += part
                if len(body) > LARGEST_BYTES:
                    raise ApiError(413, f"a transcript has at most {LARGEST_BYTES} bytes.")
            written = await asyncio.to_thread(_as_format, bytes(body), name)
            await connection.begin(
                200, "text/plain; charset=utf-8", content_length=str(len(written))
            )
            await connection.write(written)
            await connection.end()


def _as_format(body: bytes, name: str) -> bytes:
    try:
        text = writers()[name](Transcript.from_json(body.decode()))
    except UnicodeDecodeError as error:
        raise ApiError(400, "This is not a transcript: it is not UTF-8.") from error
    except (ValueError, RecursionError) as error:
        raise ApiError(400, str(error)) from error
    return f"{text}\n".encode("utf-8", "backslashreplace")
