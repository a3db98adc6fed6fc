"""uvicorn's HTTP protocol, for clients that mean no good.

uvicorn waits for ever for the headers of a request, and for a client that does not take the rest of
its answer.
"""

from __future__ import annotations

import asyncio
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

LOOK_EVERY_S = 10.0
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
