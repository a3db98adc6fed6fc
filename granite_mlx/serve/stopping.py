"""The end of a server: what is still at work is told to stop, and its clients are told so."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator

from granite_mlx.cancelling import CancelToken
from granite_mlx.serve.errors import ApiError


class Stop:
    """Hears that the server ends, on the thread of its loop."""

    def __init__(self) -> None:
        self._is_on = False
        self._uploads: set[asyncio.Timeout] = set()
        self._work: set[CancelToken] = set()

    def begin(self) -> None:
        """No more uploads are waited for, and no work goes on."""
        self._is_on = True
        for token in self._work:
            token.cancel()
        for timeout in self._uploads:
            with contextlib.suppress(RuntimeError):  # it has just run out
                timeout.reschedule(0.0)

    def check(self) -> None:
        """ApiError 503 where the server ends."""
        if self._is_on:
            raise stopping()

    @contextlib.asynccontextmanager
    async def until(self, latest_s: float) -> AsyncIterator[None]:
        """TimeoutError for what lasts longer, ApiError where the server ends meanwhile."""
        self.check()
        try:
            async with asyncio.timeout_at(latest_s) as timeout:
                self._uploads.add(timeout)
                try:
                    yield
                finally:
                    self._uploads.discard(timeout)
        except TimeoutError:
            self.check()
            raise

    @contextlib.contextmanager
    def working(self, token: CancelToken) -> Iterator[None]:
        """The token is cancelled where the server ends meanwhile."""
        self.check()
        self._work.add(token)
        try:
            yield
        finally:
            self._work.discard(token)


def stopping() -> ApiError:
    """What is told then."""
    return ApiError(503, "the server is being stopped.", code="stopping")
