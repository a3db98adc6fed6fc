"""The application on a port, by uvicorn, until a signal ends it."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable
from types import FrameType

import uvicorn
from starlette.applications import Starlette

from granite_mlx.serve.protocol import PatientProtocol, PatientWebSocket
from granite_mlx.serve.realtime import RealtimeLimits
from granite_mlx.serve.stopping import Stop

BACKLOG = 512
MOST_FILES = 4096
GOODBYE_S = 5
"""What is at work when the server ends has so long to be finished; then it is stopped."""
STOPPING_S = 60
"""The longest that a step of the model may take, after which it stops."""


def listening_socket(host: str, port: int) -> socket.socket:
    """Bound, so that nobody else gets the port meanwhile; it listens once the server runs.

    Raises:
        OSError: the port is taken, or the address is not this machine's.
    """
    family, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    bound = socket.socket(family, socket.SOCK_STREAM)
    try:
        # A server that has just ended must not keep its successor waiting.
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(address)
        bound.listen(BACKLOG)
    except BaseException:
        bound.close()
        raise
    return bound


class Server(uvicorn.Server):
    """`run(sockets=[...])` serves until a signal comes, or `should_exit` is set.

    Args:
        on_started: called once it answers.
    """

    def __init__(
        self,
        app: Starlette,
        on_started: Callable[[], None] = lambda: None,
        realtime: RealtimeLimits | None = None,
    ) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                http=PatientProtocol,
                ws=PatientWebSocket,
                ws_max_size=(realtime or RealtimeLimits()).message_bytes,
                loop="asyncio",
                lifespan="off",
                log_config=None,
                log_level="error",
                access_log=False,
                server_header=False,
                proxy_headers=False,
                backlog=BACKLOG,
                timeout_graceful_shutdown=GOODBYE_S + STOPPING_S,
            )
        )
        self._on_started = on_started
        self._stop: Stop = app.state.stop

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Likewise, and tell it."""
        await super().startup(sockets)
        self._loop = asyncio.get_running_loop()
        self._on_started()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """The first signal ends the server; after a second one nothing is waited for."""
        if self.should_exit:
            self._loop.call_soon_threadsafe(self._stop.begin)
        else:
            super().handle_exit(sig, frame)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Likewise; whoever is not answered in time is told that the server ends."""
        timer = self._loop.call_later(GOODBYE_S, self._stop.begin)
        await super().shutdown(sockets)
        timer.cancel()


def allow_many_files() -> None:
    """macOS lets a program have 256 files and connections at once unless it asks for more."""
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = MOST_FILES if hard == resource.RLIM_INFINITY else min(hard, MOST_FILES)
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, most), hard))
