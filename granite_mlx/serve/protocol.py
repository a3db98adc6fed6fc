"""uvicorn's protocols, for clients that mean no good.

uvicorn waits for ever for the headers of a request, and for a client that does not take the rest of
its answer, or what a WebSocket tells it.
"""

from __future__ import annotations

import asyncio
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

LOOK_EVERY_S = 10.0
STALL_S = 20.0
MOST_CONNECTIONS = 600


class PatientProtocol(H11Protocol):
    """Cuts off what is found in the same trouble twice, and connections beyond a number."""

    look_every_s = LOOK_EVERY_S
    most_connections = MOST_CONNECTIONS

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._seen: object = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if len(self.connections) > self.most_connections:
            transport.abort()
        else:
            self.loop.call_later(self.look_every_s, self._look)

    def _look(self) -> None:
        if self not in self.connections:  # it has ended, or become a WebSocket
            return
        trouble = self._trouble()
        if trouble is not None and trouble == self._seen:
            self.transport.abort()
            return
        self._seen = trouble
        self.loop.call_later(self.look_every_s, self._look)

    def _trouble(self) -> object:
        if self.transport.is_closing():
            return "closing"
        # Nothing after the last request, or not all of the next one's headers.
        return ("idle", id(self.cycle)) if self.conn.their_state is h11.IDLE else None


class PatientWebSocket(WebSocketsSansIOProtocol):
    """Cuts off whoever takes nothing of what is sent, or answers no ping."""

    stall_s = STALL_S

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._stalled: asyncio.TimerHandle | None = None

    def pause_writing(self) -> None:
        super().pause_writing()
        self._abort_soon()

    def resume_writing(self) -> None:
        super().resume_writing()
        if self._stalled is not None and not self.transport.is_closing():
            self._stalled.cancel()

    def keepalive_timeout(self) -> None:
        # It closes, which waits until all is taken.
        super().keepalive_timeout()
        self._abort_soon()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        if self._stalled is not None:
            self._stalled.cancel()

    def _abort_soon(self) -> None:
        if self._stalled is not None:
            self._stalled.cancel()
        self._stalled = self.loop.call_later(self.stall_s, self.transport.abort)
