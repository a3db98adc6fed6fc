"""`POST /v1/transcripts/{format}`: a transcript as JSON (schema version 1) -> another format.

Subtitles have one set of rules, ours; the page has them written here rather than by its own.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
from asyncio.subprocess import PIPE, Process
from multiprocessing.spawn import get_executable
from pathlib import Path

from starlette.types import Receive, Scope, Send

import granite_mlx
from granite_mlx.serve import transcript_writer
from granite_mlx.serve.connection import Connection
from granite_mlx.serve.errors import ApiError
from granite_mlx.serve.limits import MIB, ServerLimits
from granite_mlx.serve.places import Places
from granite_mlx.serve.stopping import Stop
from granite_mlx.transcript import FORMATS

LARGEST_BYTES = 8 * MIB
"""Of one transcript: the words of more than five hours of speech."""

N_AT_ONCE = 8
"""They are in memory."""

N_WRITTEN_AT_ONCE = 2
LONGEST_S = 120.0
_ROOT = Path(granite_mlx.__file__).parent.parent
_PYTHON = re.compile(r"(python|pypy)[\d.]*[tdmw]*(\.exe)?", re.IGNORECASE)


class TranscriptEndpoint:
    """The endpoint; whether a client may ask is decided in front of it."""

    def __init__(self, limits: ServerLimits, stop: Stop) -> None:
        self._limits, self._stop = limits, stop
        self._places = Places(N_AT_ONCE)
        self._writing = asyncio.Semaphore(N_WRITTEN_AT_ONCE)  # the others wait

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        connection = Connection(receive, send, self._limits, self._stop)
        name = scope["path_params"]["format"]
        if name not in FORMATS:
            known = ", ".join(FORMATS)
            raise ApiError(404, f"the format {name[:80]!r} is none of {known}.", param="format")
        with self._places.place():
            body = bytearray()
            async for part in connection.body():
                body += part
                if len(body) > LARGEST_BYTES:
                    raise ApiError(413, f"a transcript has at most {LARGEST_BYTES} bytes.")
            try:
                written = await connection.unless_gone(self._written(bytes(body), name))
            finally:
                await connection.close()
            await connection.begin(
                200, "text/plain; charset=utf-8", content_length=str(len(written))
            )
            await connection.write(written)
            await connection.end()

    async def _written(self, body: bytes, name: str) -> bytes:
        """The transcript in a format. ApiError tells why it is not written.

        A process of its own writes it: it can be stopped at any time, and holds up nobody.
        """
        async with self._writing:
            latest_s = asyncio.get_running_loop().time() + LONGEST_S
            try:
                async with self._stop.until(latest_s):
                    status, output, errors = await _run(name, body)
            except TimeoutError as error:
                raise _too_long() from error
        if status == transcript_writer.REFUSED:
            refusal = json.loads(output)
            raise ApiError(refusal["status"], refusal["message"])
        if status == -signal.SIGXCPU:
            raise _too_long()
        if status:
            raise RuntimeError(f"the writer of transcripts ended with {status}: {errors.decode()}")
        return output


async def _run(name: str, body: bytes) -> tuple[int, bytes, bytes]:
    """Exit status, stdout and stderr of the writer; it is gone when this is left."""
    python = _python()
    try:
        process = await asyncio.create_subprocess_exec(
            *(python, "-m", transcript_writer.__name__, name),
            stdin=PIPE,
            stdout=PIPE,
            stderr=PIPE,
            cwd=_ROOT,  # so that this very package is found
            start_new_session=True,  # Ctrl-C is the server's
        )
    except OSError as error:
        raise _no_python(f"{python}: {error.strerror}") from error
    try:
        output, errors = await process.communicate(body)
    finally:
        await _ended(process)
    assert process.returncode is not None
    return process.returncode, output, errors


def _python() -> str:
    """The interpreter. ApiError in an app that embeds Python and has told multiprocessing of none.

    Such an app would start itself once more.
    """
    found = os.fsdecode(get_executable() or "")
    if _PYTHON.fullmatch(os.path.basename(found)) is None:
        raise _no_python(f"{found or 'nothing'} is none")
    return found


def _no_python(why: str) -> ApiError:
    return ApiError(
        501,
        f"this server finds no Python to write transcripts with ({why}): the app that it runs in "
        "must name one with multiprocessing.set_executable.",
        code="no_python",
    )


async def _ended(process: Process) -> None:
    if process.returncode is None:
        process.kill()
        await process.wait()


def _too_long() -> ApiError:
    return ApiError(413, "the transcript takes too long to be written; send it in parts.")
