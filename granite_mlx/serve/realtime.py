"""`/v1/realtime`: OpenAI's transcription session over a WebSocket, as an ASGI endpoint.

    Route: WebSocketRoute("/v1/realtime", Realtime(model))

Whether a client may come at all (its token) is decided in front of this; here only a page of
another origin is sent away, since browsers send such requests along without asking.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, Unpack

from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocket

from granite_mlx.live.options import LiveOptions
from granite_mlx.live.session import LiveSession
from granite_mlx.segments.limits import SegmentLimits
from granite_mlx.serve.access import is_own_origin
from granite_mlx.serve.names import is_known
from granite_mlx.serve.realtime_messages import error_message
from granite_mlx.serve.realtime_session import RealtimeSession

TRY_AGAIN_LATER = 1013
POLICY_VIOLATION = 1008
SUBPROTOCOL = "realtime"


class LiveModel(Protocol):
    """The part of `GraniteSpeech` that a realtime session uses."""

    model_id: str
    segment_limits: SegmentLimits

    def live(self, **options: Unpack[LiveOptions]) -> LiveSession: ...


@dataclass(frozen=True)
class RealtimeLimits:
    """What clients may take.

    Attributes:
        n_sessions: at the same time.
        message_bytes: of one message, 15 MiB of sound in base64.
        session_s: how long a session lasts.
        idle_s: how long a client may say nothing.
        n_waiting: messages that wait for a client that does not read them.
    """

    n_sessions: int = 8
    message_bytes: int = 20 * 2**20 + 1024
    session_s: float = 3600.0
    idle_s: float = 300.0
    n_waiting: int = 2000


class Realtime:
    """The endpoint: an ASGI application for the scope "websocket".

    Args:
        model: what transcribes, or a function that gives it (once it is loaded, say).
        is_known_model: whether a client may ask for a model by this name.
    """

    def __init__(
        self,
        model: LiveModel | Callable[[], LiveModel],
        limits: RealtimeLimits | None = None,
        *,
        is_known_model: Callable[[str], bool] | None = None,
    ) -> None:
        self._model: Callable[[], LiveModel] = model if callable(model) else lambda: model
        self._limits = limits or RealtimeLimits()
        self._is_known_model = is_known_model or (
            lambda name: is_known(name, self._model().model_id)
        )
        self._n_sessions = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        websocket = WebSocket(scope, receive, send)
        if not _is_same_origin(websocket):
            await websocket.close(POLICY_VIOLATION)  # before it is accepted: 403
            return
        await websocket.accept(SUBPROTOCOL if SUBPROTOCOL in _subprotocols(websocket) else None)
        if self._n_sessions >= self._limits.n_sessions:
            await self._send_away(websocket)
            return
        self._n_sessions += 1
        try:
            session = RealtimeSession(websocket, self._model, self._limits, self._is_known_model)
            await session.run(websocket.query_params.get("model"))
        finally:
            self._n_sessions -= 1

    async def _send_away(self, websocket: WebSocket) -> None:
        message = f"{self._limits.n_sessions} sessions are open already; try again later."
        with contextlib.suppress(RuntimeError, OSError):  # it may have gone
            await websocket.send_text(
                error_message(message, kind="rate_limit_exceeded", code="too_many_sessions")
            )
            await websocket.close(TRY_AGAIN_LATER)


def _is_same_origin(websocket: WebSocket) -> bool:
    """A page of another place could connect to a server on this machine and listen along."""
    return is_own_origin(websocket.headers.get("origin"), websocket.headers.get("host"))


def _subprotocols(websocket: WebSocket) -> list[str]:
    found: list[str] = websocket.scope.get("subprotocols", [])
    return found
