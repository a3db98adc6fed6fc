"""Who may ask: the address that was used, the page that asks, the token.

A server on this machine can be reached by every page that a browser shows. So a page of another
origin is refused, and so is a name that is not this machine's: with DNS rebinding, a page's own
name leads here.
"""

from __future__ import annotations

import base64
import hmac
import ipaddress
import re
import socket
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from granite_mlx.serve.errors import ApiError

PROTECTED = "/v1/"
KEY_SUBPROTOCOL = "openai-insecure-api-key."
TOKEN_SUBPROTOCOL = "granite-mlx-token."
"""Likewise, for any token: base64url of its UTF-8, without padding."""

POLICY_VIOLATION = 1008
_HOST = re.compile(r"([\w.-]+|\[[\da-fA-F:.]+\])(?::\d*)?", re.ASCII)


@dataclass(frozen=True)
class Access:
    """What is asked of every client.

    Attributes:
        token: what `Authorization: Bearer` must carry; None lets everybody in.
        names: by which the server may be called, besides localhost and any IP address.
    """

    token: str | None = None
    names: frozenset[str] = frozenset()

    def check(self, headers: Headers, path: str, subprotocols: Iterable[str] = ()) -> None:
        """ApiError 401 or 403 for a client that may not ask."""
        host = headers.get("host", "")
        if not self._is_ours(host):
            raise ApiError(
                403,
                f"this server is not called {_name_of(host)!r}; use localhost or an address, or "
                "start it with --allow-host.",
                code="host_not_allowed",
            )
        origin = headers.get("origin")
        if not is_own_origin(origin, host):
            raise ApiError(
                403, "pages of another origin may not ask this server.", code="origin_not_allowed"
            )
        if self.token is not None and path.startswith(PROTECTED):
            self._check_token(headers, subprotocols)

    def _is_ours(self, host: str) -> bool:
        # A rebinding page needs a name: who uses an address means this machine.
        name = _name_of(host)
        return name == "localhost" or name in self.names or _is_address(name)

    def _check_token(self, headers: Headers, subprotocols: Iterable[str]) -> None:
        assert self.token is not None
        scheme, _, given = headers.get("authorization", "").partition(" ")
        # Headers are Latin-1 to starlette; what was meant is UTF-8.
        tokens = [given.strip().encode("latin-1", "replace")] if scheme.lower() == "bearer" else []
        tokens += _subprotocol_tokens(subprotocols)
        wanted = self.token.encode()
        # All of them are compared: how long it takes tells nothing.
        compared = [hmac.compare_digest(one, wanted) for one in tokens]
        if not any(compared):
            raise ApiError(
                401,
                "the token is wrong: send Authorization: Bearer TOKEN, the api_key of OpenAI's "
                "clients."
                if tokens
                else "a token is missing: send Authorization: Bearer TOKEN, the api_key of "
                "OpenAI's clients.",
                code="invalid_api_key",
                headers={"WWW-Authenticate": "Bearer"},
            )


class AccessCheck:
    """ASGI middleware in front of everything, WebSockets too."""

    def __init__(self, app: ASGIApp, access: Access) -> None:
        self._app, self._access = app, access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        try:
            self._access.check(Headers(scope=scope), scope["path"], scope.get("subprotocols", ()))
        except ApiError:
            if scope["type"] == "http":
                raise
            await receive()
            await send({"type": "websocket.close", "code": POLICY_VIOLATION})  # 403
            return
        await self._app(scope, receive, send)


def _subprotocol_tokens(subprotocols: Iterable[str]) -> Iterator[bytes]:
    """What a browser's WebSocket can send."""
    for one in subprotocols:
        if one.startswith(KEY_SUBPROTOCOL):
            yield one.removeprefix(KEY_SUBPROTOCOL).encode("latin-1", "replace")
        elif one.startswith(TOKEN_SUBPROTOCOL):
            written = one.removeprefix(TOKEN_SUBPROTOCOL)
            try:
                yield base64.urlsafe_b64decode(written + "=" * (-len(written) % 4))
            except ValueError:  # no base64
                yield b""


def is_own_origin(origin: str | None, host: str | None) -> bool:
    """Whether a page of this server asks, or what is no page at all."""
    if origin is None:
        return True
    try:
        scheme, place, *_ = urlsplit(origin)
    except ValueError:  # no address at all
        return False
    return scheme in ("http", "https") and place == host


def is_loopback(host: str) -> bool:
    """Whether an address to listen on can be reached from this machine alone."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def own_names() -> frozenset[str]:
    """What this machine is called in its network."""
    name = socket.gethostname().lower()
    return frozenset({name, f"{name.partition('.')[0]}.local"}) if name else frozenset()


def _name_of(host: str) -> str:
    """`Host` without its port; nothing where it is no host."""
    found = _HOST.fullmatch(host)
    return "" if found is None else found[1].strip("[]").rstrip(".").lower()


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
