"""Calls that wait, awaited: each waits on a thread of a pool, and its work joins the one batch."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from functools import cache, partial
from typing import TypeVar

from granite_mlx.cancelling import CancelToken, own_token

T = TypeVar("T")

MOST_WAITING = 256
"""Calls at once; more wait for a thread."""


async def awaited(call: Callable[[CancelToken], T], shared: CancelToken | None) -> T:
    """What `call` returns, or what it raises.

    A task that is cancelled meanwhile stops the call, and goes on when that has stopped. What else
    has the shared token goes on.
    """
    token = own_token(shared)
    return await _done(partial(call, token), token)


async def streamed(items: Generator[T, None, None], token: CancelToken) -> AsyncIterator[T]:
    """The items, each waited for likewise; none is made before it is asked for.

    `token` is what stops the making of items.
    """
    try:
        while found := await _done(lambda: [*_first(items)], token):
            yield found[0]
    finally:
        # After a second cancelling the work may not have stopped yet; then it closes itself.
        with contextlib.suppress(ValueError):
            items.close()


async def _done(call: Callable[[], T], token: CancelToken) -> T:
    """The call's outcome; a cancelled task cancels the token first."""
    job = _pool().submit(call)
    work = asyncio.wrap_future(job)
    try:
        return await asyncio.shield(work)
    except asyncio.CancelledError:
        token.cancel()
        if not job.cancel():  # it has begun
            await asyncio.wait([work])
            if not work.cancelled():
                work.exception()  # it is known, and nobody is to be told
        raise


def _first(items: Generator[T, None, None]) -> Generator[T, None, None]:
    """One, if there is one left."""
    with contextlib.suppress(StopIteration):
        yield next(items)


@cache
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(MOST_WAITING, "granite-mlx-async")
