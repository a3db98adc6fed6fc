"""Calls that wait, awaited: each waits on a thread of a pool, and its work joins the one batch."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import TypeVar

from granite_mlx.cancelling import CancelToken

T = TypeVar("T")

MOST_WAITING = 32
"""Calls at once; more wait for a thread."""


async def awaited(call: Callable[[CancelToken], T], cancel: CancelToken | None) -> T:
    """What `call` returns, or what it raises.

    A task that is cancelled meanwhile cancels the token, and goes on when the work has stopped.
    """
    token = cancel or CancelToken()
    work = asyncio.get_running_loop().run_in_executor(_pool(), call, token)
    try:
        return await asyncio.shield(work)
    except asyncio.CancelledError:
        token.cancel()
        if not work.cancelled():
            await asyncio.wait([work])
            work.exception()  # it is known, and nobody is to be told
        raise


@cache
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(MOST_WAITING, "granite-mlx-async")
