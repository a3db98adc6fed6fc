"""A client's connection: its body under limits, and whether it is still there."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Coroutine
from typing import Any, TypeVar

from starlette.types import Message, Receive, Send

from granite_mlx.serve.errors import ApiError, ClientGone
from granite_mlx.serve.limits import ServerLimits
from granite_mlx.serve.stopping import Stop

T = TypeVar("T")

PIECE_BYTES = 1 << 16


class Connection:
    """The two ends of an ASGI request."""

    def __init__(self, receive: Receive, send: Send, limits: ServerLimits, stop: Stop) -> None:
        self._receive, self._send, self._limits, self._stop = receive, send, limits, stop
        self._gone: asyncio.Task[None] | None = None

    async def body(self) -> AsyncIterator[bytes]:
        """The request's body as it comes.

        Raises:
            ApiError: 408 where it comes too slowly, 503 where the server ends.
            ClientGone: it ends halfway.
        """
        limits, clock = self._limits, asyncio.get_running_loop().time
        latest_s = clock() + limits.upload_s
        more = True
        while more:
            try:
                async with self._stop.until(min(latest_s, clock() + limits.stall_s)):
                    message = await self._receive()
            except TimeoutError as error:
                raise ApiError(
                    408, "the upload comes too slowly; send it again.", code="upload_timeout"
                ) from error
            if message["type"] == "http.disconnect":
                raise ClientGone
            more = message.get("more_body", False)
            if body := message.get("body", b""):
                yield body

    async def unless_gone(self, awaited: Coroutine[Any, Any, T]) -> T:
        """What is awaited, once the body is received.

        ClientGone where the client goes first; what was awaited is then cancelled, and over.
        """
        if self._gone is None:
            self._gone = asyncio.create_task(self._until_gone())
        task = asyncio.create_task(awaited)
        try:
            await asyncio.wait({task, self._gone}, return_when=asyncio.FIRST_COMPLETED)
            if not task.done():
                raise ClientGone
            return task.result()
        finally:
            await ended(task)

    async def begin(self, status: int, content_type: str, **headers: str) -> None:
        """The answer's head."""
        named = {"content-type": content_type, **headers}
        raw = [(name.replace("_", "-").encode(), value.encode()) for name, value in named.items()]
        await self._give({"type": "http.response.start", "status": status, "headers": raw})

    async def write(self, body: bytes) -> None:
        """A part of its body, in pieces: what is not taken does not heap up."""
        for start in range(0, len(body), PIECE_BYTES):
            piece = body[start : start + PIECE_BYTES]
            await self._give({"type": "http.response.body", "body": piece, "more_body": True})

    async def end(self) -> None:
        """Nothing more comes."""
        await self._give({"type": "http.response.body", "body": b"", "more_body": False})

    async def _give(self, message: Message) -> None:
        """ClientGone where the client does not take it."""
        try:
            async with asyncio.timeout(self._limits.stall_s):
                await self._send(message)
        except (TimeoutError, OSError) as error:
            raise ClientGone from error

    async def close(self) -> None:
        """No more questions whether the client is there."""
        if self._gone is not None:
            await ended(self._gone)

    async def _until_gone(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass


async def ended(task: asyncio.Task[Any]) -> None:
    """Stop a task, and wait until it has stopped."""
    if not task.done():
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError, Exception):
            await task
