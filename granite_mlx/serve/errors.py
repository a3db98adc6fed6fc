"""What is wrong with a request, in the shape of OpenAI's errors, and what sends it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import math
from collections.abc import Mapping
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

LOG = logging.getLogger("granite_mlx.serve")

_TYPES = {
    401: "authentication_error",
    403: "permission_error",
    429: "rate_limit_error",
}
DRAINED_BYTES = 64 << 20
DRAINED_S = 2.0


class ApiError(Exception):
    """An answer other than the one that was asked for.

    Args:
        status: of HTTP.
        param: the field that is meant.
        code: what programs look at.
        retry_after_s: when it may go better.
    """

    def __init__(
        self,
        status: int,
        message: str,
        *,
        param: str | None = None,
        code: str | None = None,
        retry_after_s: float | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status, self.param, self.code = status, param, code
        self.headers = dict(headers or {})
        if retry_after_s is not None:
            self.headers["Retry-After"] = str(math.ceil(retry_after_s))

    def body(self) -> dict[str, Any]:
        """As OpenAI writes it."""
        kind = _TYPES.get(self.status) or (
            "server_error" if self.status >= 500 else "invalid_request_error"
        )
        return {
            "error": {
                "message": str(self),
                "type": kind,
                "param": self.param,
                "code": self.code,
            }
        }


class ClientGone(Exception):  # noqa: N818  # nothing failed
    """Nobody is there to answer."""


def bad_field(param: str, message: str, code: str = "invalid_value") -> ApiError:
    """A 400 about a field."""
    return ApiError(400, message, param=param, code=code)


def internal_error() -> ApiError:
    """What a client is told of a bug; the log has the rest."""
    message = "the server failed; its log says why."
    return ApiError(500, message, code="internal_error")


def log_failure(what: str, error: BaseException) -> None:
    """Keep the traceback of a bug for whoever runs the server."""
    LOG.error("%s failed", what, exc_info=error)


class ErrorAnswers:
    """ASGI middleware, the outermost: what is raised inside becomes an answer.

    A client that still sends does not read: what it sends is taken for a while and thrown away,
    so that it gets to see why it is refused.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        exchange = _Exchange(receive, send, has_body=_has_body(scope))
        try:
            await self._app(scope, exchange.receive, exchange.send)
        except ClientGone:
            return
        except ApiError as error:
            await exchange.answer(error)
        except Exception as error:
            log_failure(f"{scope['method']} {scope['path']}", error)
            await exchange.answer(internal_error())


class _Exchange:
    """A request and its answer: how far both are."""

    def __init__(self, receive: Receive, send: Send, *, has_body: bool) -> None:
        self._receive, self._send = receive, send
        self._is_received, self._is_answered = not has_body, False

    async def receive(self) -> Message:
        message = await self._receive()
        if message["type"] == "http.disconnect" or not message.get("more_body", False):
            self._is_received = True
        return message

    async def send(self, message: Message) -> None:
        self._is_answered = True
        await self._send(message)

    async def answer(self, error: ApiError) -> None:
        if self._is_answered:  # too late: the connection ends, and the answer is seen to be cut
            return
        body = json.dumps(error.body()).encode()
        headers = {
            "content-type": "application/json",
            "content-length": str(len(body)),
            **{name.lower(): value for name, value in error.headers.items()},
        }
        if not self._is_received:
            headers["connection"] = "close"
        raw = [(name.encode(), value.encode("latin-1")) for name, value in headers.items()]
        await self._send({"type": "http.response.start", "status": error.status, "headers": raw})
        await self._send({"type": "http.response.body", "body": body, "more_body": True})
        await self._drain()
        await self._send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _drain(self) -> None:
        n_left = DRAINED_BYTES
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(DRAINED_S):
                while n_left > 0 and not self._is_received:
                    n_left -= len((await self.receive()).get("body", b""))


def _has_body(scope: Scope) -> bool:
    return any(
        name in (b"content-length", b"transfer-encoding") and value != b"0"
        for name, value in scope["headers"]
    )
