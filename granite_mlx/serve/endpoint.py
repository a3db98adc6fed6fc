"""One request for a transcript, from its first byte to the last one of its answer.

`AudioEndpoint.answer` is the whole path, in numbered steps.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing

from starlette.datastructures import Headers
from starlette.types import Receive, Scope, Send

from granite_mlx.serve.answers import answer
from granite_mlx.serve.connection import Connection, ended
from granite_mlx.serve.events import EVENT_STREAM, events
from granite_mlx.serve.fields import Asked
from granite_mlx.serve.limits import ServerLimits
from granite_mlx.serve.places import Places
from granite_mlx.serve.stopping import Stop
from granite_mlx.serve.uploads import Form, Room, check_announced, read_form
from granite_mlx.serve.work import Fields, Work
from granite_mlx.transcript import Segment, Transcript


class AudioEndpoint:
    """An ASGI application for a POST of a recording.

    Args:
        read: the fields of a form -> what is asked.
    """

    def __init__(
        self,
        read: Callable[[Fields], Asked],
        work: Work,
        places: Places,
        room: Room,
        limits: ServerLimits,
        stop: Stop,
    ) -> None:
        self._read, self._work, self._places = read, work, places
        self._room, self._limits, self._stop = room, limits, stop

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        connection = Connection(receive, send, self._limits, self._stop)
        try:
            await self.answer(Headers(scope=scope), connection)
        finally:
            await connection.close()

    async def answer(self, headers: Headers, connection: Connection) -> None:
        """Answer one request.

        Raises:
            ApiError: what is to be told instead; nothing was sent yet.
            ClientGone: nobody is there any more. Whatever was at work for it has stopped.
        """
        # 1. A place among all requests, or 503.
        with self._places.place():
            # 2. The upload: to a file without a name, under the limits, while it comes.
            check_announced(headers.get("content-length"), self._limits)
            content_type = headers.get("content-type", "")
            form = await read_form(connection.body(), content_type, self._limits, self._room)
            try:
                # 3. The fields: what is not known, or not for this model, is refused by name.
                asked = await connection.unless_gone(self._work.asked(self._read, form.fields))
                # 4. The file to segments, and these to the answer.
                if asked.is_streamed:
                    await self._stream(form, asked, connection)
                else:
                    await self._whole(form, asked, connection)
            finally:
                # 5. Nothing of the upload is kept.
                form.close()

    async def _whole(self, form: Form, asked: Asked, connection: Connection) -> None:
        transcript = await connection.unless_gone(
            self._work.transcript(form.recording().file, asked)
        )
        body, content_type = await asyncio.to_thread(answer, transcript, asked)
        await connection.begin(200, content_type, content_length=str(len(body)))
        await connection.write(body)
        await connection.end()

    async def _stream(self, form: Form, asked: Asked, connection: Connection) -> None:
        has_begun = False
        async with aclosing(self._parts(form, asked, connection)) as parts:
            async for event in events(parts, asked):
                if not has_begun:
                    await connection.begin(200, EVENT_STREAM, cache_control="no-store")
                    has_begun = True
                await connection.write(event)
        await connection.end()

    async def _parts(
        self, form: Form, asked: Asked, connection: Connection
    ) -> AsyncGenerator[Segment | Transcript, None]:
        """Segments as they become final, and the transcript behind the last one."""
        ready: asyncio.Queue[Segment | None] = asyncio.Queue()
        loop = asyncio.get_running_loop()

        def tell(segment: Segment) -> None:
            loop.call_soon_threadsafe(ready.put_nowait, segment)

        work = asyncio.create_task(self._work.transcript(form.recording().file, asked, tell))
        work.add_done_callback(lambda _: ready.put_nowait(None))
        try:
            while (segment := await connection.unless_gone(ready.get())) is not None:
                yield segment
            yield await work
        finally:
            await ended(work)
