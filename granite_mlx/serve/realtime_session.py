"""One client of `/v1/realtime`: its messages to a live session, the session's events to it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, NoReturn

import anyio
from starlette.websockets import WebSocket, WebSocketDisconnect

from granite_mlx.errors import GraniteError
from granite_mlx.live.events import Draft, Event
from granite_mlx.live.session import LiveSession
from granite_mlx.serve.realtime_items import Items
from granite_mlx.serve.realtime_messages import (
    ClientError,
    ClientMessage,
    audio_of,
    error_message,
    new_id,
    quoted,
    read_message,
    written,
)
from granite_mlx.serve.realtime_settings import (
    Settings,
    described,
    described_as_beta,
    updated,
)

if TYPE_CHECKING:
    from granite_mlx.serve.realtime import LiveModel, RealtimeLimits

LOGGER = logging.getLogger(__name__)

BYTES_PER_SAMPLE = 2
GOING_AWAY, POLICY_VIOLATION, TOO_BIG, UNEXPECTED = 1001, 1008, 1009, 1011
GONE = (RuntimeError, OSError, WebSocketDisconnect)
"""What sending raises where the client is not there any more."""

POLL_S = 0.02
LAST_TEXT_S = 30.0
"""How long the last text of an expired session is waited for."""


class SessionEndedError(Exception):
    """The session ends, for a reason that the client has been told. Holds the close code."""


class RealtimeSession:
    """Runs on the event loop; the live session has its own thread."""

    def __init__(
        self,
        websocket: WebSocket,
        model: Callable[[], LiveModel],
        limits: RealtimeLimits,
        is_known_model: Callable[[str], bool],
    ) -> None:
        self._websocket, self._limits, self._is_known_model = websocket, limits, is_known_model
        self._model = model()
        self._id = new_id("sess")
        self._is_beta = "openai-beta" in websocket.headers
        self._expires_at_s = time.monotonic() + limits.session_s
        self._expires_at = int(time.time() + limits.session_s)
        self._settings = Settings(model=self._model.model_id)
        self._loop = asyncio.get_running_loop()
        self._outgoing: asyncio.Queue[str | None] = asyncio.Queue()
        self._live: LiveSession | None = None
        self._items: Items | None = None
        self._previous_id: str | None = None
        self._n_samples, self._n_uncommitted = 0, 0  # of this live session
        self._offset_s = 0.0  # where it began in all that was sent

    async def run(self, model_name: str | None) -> None:
        """Serve the client until it goes, or until it is sent away."""
        code = None
        try:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._write, tasks.cancel_scope)
                code = await self._close_code(model_name)
                if code is None:
                    tasks.cancel_scope.cancel()
                self._outgoing.put_nowait(None)  # behind all that is still to be told
            if code is not None:
                with contextlib.suppress(*GONE):
                    await self._websocket.close(code)
        finally:
            if self._live is not None:
                self._live.abandon()

    async def _close_code(self, model_name: str | None) -> int | None:
        """Read until the end -> how to close; None where the client has gone."""
        try:
            await self._read(model_name)
        except SessionEndedError as ended:
            return int(ended.args[0])
        except WebSocketDisconnect:
            return None

    async def _read(self, model_name: str | None) -> NoReturn:
        """The client's messages; raises `SessionEndedError` with a close code."""
        self._tell_session("created")
        if model_name and not self._is_known_model(model_name):
            self._tell_error(
                f"the model {quoted(model_name)} is not served here.", "model_not_found"
            )
            raise SessionEndedError(POLICY_VIOLATION)
        while True:
            text = await self._next_text()
            if self._outgoing.qsize() > self._limits.n_waiting:
                raise SessionEndedError(GOING_AWAY)
            message = None
            try:
                message = read_message(text)
                await self._do(message)
                self._raise_if_failed()
            except ClientError as error:
                event_id = None if message is None else message.event_id
                self._tell_client_error(error, event_id)
            except SessionEndedError:
                raise
            except Exception as error:  # the model is closed, say: the client shall know
                LOGGER.exception("a realtime session has failed")
                self._tell_error(f"the session has failed: {error}", "server_error", "server_error")
                raise SessionEndedError(UNEXPECTED) from error

    async def _next_text(self) -> str:
        left_s = self._expires_at_s - time.monotonic()
        try:
            with anyio.fail_after(max(0.0, min(left_s, self._limits.idle_s))):
                message = await self._websocket.receive()
        except TimeoutError:
            await self._expire(is_idle=left_s > self._limits.idle_s)
        if message["type"] == "websocket.disconnect":
            raise WebSocketDisconnect(message.get("code") or 1000)
        text = message.get("text")
        if text is None:
            return "binary"  # which is no JSON, and answered as such
        if len(text) > self._limits.message_bytes:
            self._tell_error(
                f"a message must not be longer than {self._limits.message_bytes} bytes.",
                "message_too_long",
            )
            raise SessionEndedError(TOO_BIG)
        return str(text)

    async def _expire(self, is_idle: bool) -> NoReturn:
        await self._end_live(LAST_TEXT_S)
        if is_idle:
            self._tell_error(
                f"nothing came for {self._limits.idle_s:g} s; the session ends.", "idle_timeout"
            )
        else:
            self._tell_error(
                f"a session lasts {self._limits.session_s:g} s at most; begin another one.",
                "session_expired",
            )
        raise SessionEndedError(GOING_AWAY)

    async def _do(self, message: ClientMessage) -> None:
        match message.kind:
            case "input_audio_buffer.append":
                await self._append(audio_of(message))
            case "input_audio_buffer.commit":
                self._commit()
            case "input_audio_buffer.clear":
                self._clear()
            case "session.update" | "transcription_session.update":
                self._is_beta |= message.kind.startswith("transcription")
                await self._update(message.fields.get("session"))
            case kind:
                raise ClientError(
                    f"{quoted(kind)} is not an event of a transcription session.",
                    "type",
                    "unknown_event",
                )

    async def _append(self, sound: bytes) -> None:
        if not sound:
            return
        live = self._live or self._begin()
        # `feed` would wait on the event loop's thread.
        while live.behind_s > live.longest_wait_s and not live.is_over:
            await anyio.sleep(POLL_S)
        self._raise_if_failed()
        live.feed(sound)
        n_samples = len(sound) // BYTES_PER_SAMPLE
        self._n_samples += n_samples
        self._n_uncommitted += n_samples

    def _commit(self) -> None:
        if self._live is None or not self._n_uncommitted:
            raise ClientError(
                "there is nothing to commit: the input audio buffer is empty.",
                code="input_audio_buffer_commit_empty",
            )
        self._n_uncommitted = 0
        self._live.commit()

    def _clear(self) -> None:
        self._n_uncommitted = 0
        if self._live is not None:
            self._live.clear()
        self._tell(written("input_audio_buffer.cleared"))

    async def _update(self, session: object) -> None:
        limits = self._model.segment_limits
        settings = updated(self._settings, session, self._is_known_model, limits)
        # What was sent before is transcribed as it was asked for, however long that takes.
        await self._end_live(max(0.0, self._expires_at_s - time.monotonic()))
        before, self._settings = self._settings, settings
        try:
            self._begin()  # the model may refuse: no room for so many keywords
        except (GraniteError, TypeError, ValueError) as error:
            self._settings = before
            raise ClientError(str(error), "session") from error
        self._tell_session("updated")

    def _begin(self) -> LiveSession:
        items = Items(
            at_pauses=self._settings.at_pauses,
            is_beta=self._is_beta,
            offset_s=self._offset_s,
            previous_id=self._previous_id,
        )

        def on_event(event: Event) -> None:
            with contextlib.suppress(RuntimeError):  # the loop has ended, and so has the client
                self._loop.call_soon_threadsafe(self._on_event, items, event)

        options = self._settings.options(self._model.segment_limits)
        options["on_event"] = on_event
        self._live = self._model.live(**options)
        self._items, self._n_samples, self._n_uncommitted = items, 0, 0
        return self._live

    async def _end_live(self, longest_s: float) -> None:
        """The live session's last text, if there is one, before anything else."""
        live, self._live = self._live, None
        if live is None:
            return
        live.end()
        latest_s = time.monotonic() + longest_s
        try:
            while not live.is_over and time.monotonic() < latest_s:
                await anyio.sleep(POLL_S)
            await anyio.sleep(0)  # what it told last waits for the loop's next round
            if not live.is_over:
                message = f"the last text was not written within {longest_s:g} s, and is lost."
                self._tell_error(message, "text_lost", "server_error")
        finally:
            live.abandon()
        self._offset_s += self._n_samples / self._settings.rate
        if self._items is not None:
            self._previous_id = self._items.previous_id

    def _on_event(self, items: Items, event: Event) -> None:
        # A client that does not read needs no drafts.
        if isinstance(event, Draft) and self._outgoing.qsize() > 10:
            return
        for message in items.messages(event):
            self._tell(message)

    def _raise_if_failed(self) -> None:
        error = self._live.error if self._live is not None else None
        if error is not None:
            self._tell_error(f"the session has failed: {error}", "server_error", "server_error")
            raise SessionEndedError(UNEXPECTED)

    def _tell(self, message: str) -> None:
        self._outgoing.put_nowait(message)

    def _tell_session(self, what: str) -> None:
        if self._is_beta:
            session = described_as_beta(self._settings, self._id, self._expires_at)
            self._tell(written(f"transcription_session.{what}", session=session))
        else:
            session = described(self._settings, self._id, self._expires_at)
            self._tell(written(f"session.{what}", session=session))

    def _tell_error(self, message: str, code: str, kind: str = "invalid_request_error") -> None:
        self._tell(error_message(message, kind=kind, code=code))

    def _tell_client_error(self, error: ClientError, event_id: str | None) -> None:
        self._tell(error_message(str(error), code=error.code, param=error.param, event_id=event_id))

    async def _write(self, scope: anyio.CancelScope) -> None:
        """What waits, to the client, until there is nothing more; ends all if it has gone."""
        try:
            while (message := await self._outgoing.get()) is not None:
                await self._websocket.send_text(message)
        except GONE:
            scope.cancel()
