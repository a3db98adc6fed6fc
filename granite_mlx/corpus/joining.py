"""Joining a Ray cluster that was started elsewhere: its port, its token, its versions."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from granite_mlx.corpus.errors import CorpusError

CONNECT_S = 10.0

N_TRIES = "RAY_NUM_REDIS_GET_RETRIES", "5"
"""Of Ray, to be let in; of its own 20 each lasts a second where the token is wrong, and up to a
minute where something else than Ray is at the port."""

FRAME_TYPE, SETTINGS = 3, 4
"""The place of a frame's type, and the type that comes first."""

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes([0, 0, 0, SETTINGS, 0, 0, 0, 0, 0])

MODE, TOKEN, TOKEN_PATH = "RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"


def check_that_it_answers(address: str) -> None:
    """Ray itself would try for minutes. CorpusError where no gRPC server is at HOST:PORT."""
    host, _, port = address.rpartition(":")
    if not host or not port.isdecimal():
        return  # as "auto", which Ray resolves
    try:
        with socket.create_connection((host.strip("[]"), int(port)), CONNECT_S) as connection:
            speaks_http2 = "RAY_USE_TLS" in os.environ or _speaks_http2(connection)
    except (OSError, OverflowError) as error:
        raise CorpusError(
            f"no Ray cluster answers at {address} ({error}); is `ray start --head` running there?"
        ) from error
    if not speaks_http2:
        raise CorpusError(
            f"what answers at {address} is not Ray; name the port that `ray start --head` has told."
        )


def prepare() -> None:
    """What Ray looks for in the environment when it is imported: how often it tries, and a token.

    Ray's token is shown if there is one here and nothing is said about it.

    `ray start --head` of Ray 2.59 and later asks for a token as soon as it finds one, and a run
    without an address leaves one; but who joins at a named address is told to show his by
    RAY_AUTH_MODE alone. A cluster that asks for none takes no notice of it.
    """
    os.environ.setdefault(*N_TRIES)
    if has_token():
        os.environ.setdefault(MODE, "token")


def has_token() -> bool:
    """Ray's places of it, in its order."""
    if os.environ.get(TOKEN) or os.environ.get(TOKEN_PATH):
        return True
    return (Path.home() / ".ray" / "auth_token").is_file()


def refusal(address: str, error: BaseException) -> CorpusError:
    """What Ray says when it does not let us in, as one sentence."""
    said = " ".join(" ".join(str(one) for one in _chain(error)).split())
    if "uthentica" in said or "AuthToken" in said:
        shown = "another token" if has_token() else "no token"
        return CorpusError(
            f"the Ray cluster at {address} asks for its token, and here is {shown}; copy "
            f"~/.ray/auth_token of the machine with `ray start --head`, or name it by {TOKEN_PATH}."
        )
    if "Version mismatch" in said:
        return CorpusError(
            f"the Ray cluster at {address} has other versions; install the same on all machines: "
            f"{said.partition('Version mismatch: ')[2]}"
        )
    return CorpusError(
        f"the Ray cluster at {address} does not let this command in ({said}); "
        "is that `ray start --head`, with the same Ray, and the same token (docs/corpus.md)?"
    )


def check_nodes(ray: Any, address: str) -> None:
    """See that each machine has this granite-mlx.

    Raises:
        CorpusError: one has another, or none.
    """
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    from granite_mlx import __version__

    def version_there() -> str | None:  # goes there as it is, since the package may be missing
        try:
            import granite_mlx
        except ImportError:
            return None
        return granite_mlx.__version__

    ask = ray.remote(num_cpus=0)(version_there)
    answers = {
        node["NodeManagerHostname"]: ask.options(
            scheduling_strategy=NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
        ).remote()
        for node in nodes(ray)
    }
    for host, answer in answers.items():
        try:
            version = ray.get(answer)
        except ray.exceptions.RayError as error:
            said = str(error).strip().splitlines()[-1:]
            raise CorpusError(
                f"{host} of the Ray cluster at {address} cannot be asked ({''.join(said)}); "
                "see `ray status` there."
            ) from error
        if version != __version__:
            has = "has no granite-mlx" if version is None else f"has granite-mlx {version}"
            raise CorpusError(
                f"{host} of the Ray cluster at {address} {has} in the Python that runs Ray there, "
                f"and this is {__version__}; install the same on all machines."
            )


def nodes(ray: Any) -> list[Any]:
    """Those that work: a head may have no CPU to give."""
    return [one for one in ray.nodes() if one["Alive"] and one["Resources"].get("CPU", 0) >= 1]


def _speaks_http2(connection: socket.socket) -> bool:
    """As gRPC does: a server begins with a frame of settings (RFC 9113, 3.4)."""
    connection.sendall(PREFACE)
    header = b""
    while len(header) <= FRAME_TYPE:
        more = connection.recv(FRAME_TYPE + 1 - len(header))
        if not more:
            return False
        header += more
    return header[FRAME_TYPE] == SETTINGS and header[:1] == b"\0"


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__
