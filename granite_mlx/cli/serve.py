"""`granite-mlx serve`: a server on this machine that OpenAI's clients and a page can use."""

from __future__ import annotations

import argparse
import contextlib
import os
import socket
from typing import TYPE_CHECKING, Any, cast

from granite_mlx.cli.arguments import add_model_arguments, count, speed
from granite_mlx.cli.exits import Exit
from granite_mlx.cli.failures import NoModelError, UsageError
from granite_mlx.cli.listener import load_model
from granite_mlx.cli.model import ModelLoader
from granite_mlx.cli.screen import Screen
from granite_mlx.cli.times import seconds

if TYPE_CHECKING:
    from granite_mlx.serve.access import Access
    from granite_mlx.serve.limits import ServerLimits
    from granite_mlx.speech import GraniteSpeech

NAME = "serve"
SUMMARY = "answer OpenAI's clients and a page on this machine"
DESCRIPTION = """\
Serve the model on this machine: OpenAI's interface for audio under /v1, a page at /, the
description of all of it at /docs. Only this machine can ask unless --host says otherwise, which
needs a token. Ctrl-C ends it. Needs the extra serve: pip install 'granite-mlx[serve]'."""
EXAMPLES = """\
examples:
  granite-mlx serve
  granite-mlx serve -m demo --port 9000
  GRANITE_MLX_TOKEN=secret granite-mlx serve --host 0.0.0.0 --allow-host mac-mini.local
"""

LOOPBACK = "127.0.0.1"
PORT = 8000
TOKEN_VARIABLE = "GRANITE_MLX_TOKEN"
MIB = 1 << 20
SHORTEST_TOKEN = 8


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of this command."""
    add_model_arguments(parser.add_argument_group("model"))
    parser.add_argument(
        "--unload-after",
        metavar="TIME",
        type=seconds,
        help="free the model's memory when it was not used for so long (default: never)",
    )
    where = parser.add_argument_group("address")
    where.add_argument(
        "--host", default=LOOPBACK, help=f"the address to listen on (default: {LOOPBACK})"
    )
    where.add_argument(
        "--port", type=port, default=PORT, help=f"the port, 0 for any free one (default: {PORT})"
    )
    where.add_argument(
        "--allow-host",
        metavar="NAME",
        action="append",
        default=[],
        help="a name by which clients may call this server, besides localhost, addresses and this "
        "machine's own; repeat it for more",
    )
    where.add_argument(
        "--token",
        help="what clients must send as their API key; others of this machine can see it, so "
        f"${TOKEN_VARIABLE} is the better place",
    )
    limits = parser.add_argument_group("limits")
    limits.add_argument(
        "--max-upload-mib", metavar="N", type=count, help="of one recording (default: 500)"
    )
    limits.add_argument(
        "--max-held-mib", metavar="N", type=count, help="of all recordings that are at work "
        "(default: 4096)",
    )  # fmt: skip
    limits.add_argument(
        "--max-duration", metavar="TIME", type=seconds, help="of one recording: seconds, MM:SS or "
        "HH:MM:SS (default: 4:00:00)",
    )  # fmt: skip
    limits.add_argument(
        "--max-requests", metavar="N", type=count, help="at once, others are told to come back "
        "(default: 128)",
    )  # fmt: skip
    limits.add_argument(
        "--max-live", metavar="N", type=count, help="live sessions at once (default: 8)"
    )
    limits.add_argument(
        "--max-stall", metavar="S", type=speed, help="seconds without a byte from or to a client "
        "(default: 20)",
    )  # fmt: skip
    limits.add_argument(
        "--max-upload-time", metavar="TIME", type=seconds, help="of an upload (default: 10:00)"
    )
    limits.add_argument(
        "--max-answer-time",
        metavar="TIME",
        type=seconds,
        help="until an answer is there, waiting included (default: 1:00:00)",
    )
    parser.add_argument("--quiet", action="store_true", help="show errors only")


def run(arguments: argparse.Namespace, screen: Screen, load: ModelLoader) -> int:
    """Serve until a signal ends it. -> exit code.

    Raises:
        UsageError: arguments that do not make sense, no extra, or a port that is taken; nothing
            was loaded.
    """
    try:
        from granite_mlx.serve.app import server_app
        from granite_mlx.serve.folder import own_folder
        from granite_mlx.serve.realtime import RealtimeLimits
        from granite_mlx.serve.server import Server, allow_many_files
    except ModuleNotFoundError as error:
        missing = (error.name or str(error)).partition(".")[0]
        raise UsageError(
            f"serve needs {missing}, which is not installed: pip install 'granite-mlx[serve]'."
        ) from error
    access, limits = _access(arguments), _limits(arguments)
    realtime = RealtimeLimits(**_given(n_sessions=arguments.max_live))
    allow_many_files()
    with contextlib.closing(_listening(arguments.host, arguments.port)) as listening:
        try:
            # A server asks more of it than the other commands do.
            model = cast("GraniteSpeech", load_model(arguments, load, screen))
        except Exception as error:
            raise NoModelError from error
        with contextlib.closing(model), own_folder() as folder:
            if arguments.unload_after is not None:
                model.unload_when_idle(arguments.unload_after)
            app = server_app(model, folder, access, limits, realtime)
            address = _shown_address(listening)
            Server(app, lambda: screen.announce(f"Listening at {address}"), realtime).run(
                sockets=[listening]
            )
    return Exit.COMPLETE


def _access(arguments: argparse.Namespace) -> Access:
    from granite_mlx.serve.access import Access, is_loopback, own_names

    token = os.environ.get(TOKEN_VARIABLE) if arguments.token is None else arguments.token
    if token is not None and len(token) < SHORTEST_TOKEN:
        raise UsageError(
            f"the token has fewer than {SHORTEST_TOKEN} characters; take a longer one."
        )
    if token is None and not is_loopback(arguments.host):
        raise UsageError(
            f"on {arguments.host} other machines can ask, so a token is needed: set "
            f"{TOKEN_VARIABLE}, or listen on {LOOPBACK}."
        )
    names = {name.lower().rstrip(".") for name in arguments.allow_host}
    return Access(token, frozenset(names | own_names()))


def _limits(arguments: argparse.Namespace) -> ServerLimits:
    from granite_mlx.serve.limits import ServerLimits

    upload, held = arguments.max_upload_mib, arguments.max_held_mib
    try:
        return ServerLimits(
            **_given(
                upload_bytes=upload and upload * MIB,
                held_bytes=held and held * MIB,
                duration_s=arguments.max_duration,
                n_requests=arguments.max_requests,
                stall_s=arguments.max_stall,
                upload_s=arguments.max_upload_time,
                answer_s=arguments.max_answer_time,
            )
        )
    except ValueError as error:
        raise UsageError(str(error)) from error


def _given(**options: float | None) -> dict[str, Any]:
    """Those that were given."""
    return {name: value for name, value in options.items() if value is not None}


def _listening(host: str, port: int) -> socket.socket:
    from granite_mlx.serve.server import listening_socket

    try:
        return listening_socket(host, port)
    except OSError as error:
        reason = error.strerror or str(error)
        raise UsageError(
            f"cannot listen on port {port} of {host}: {reason}. Choose another with --port, or end "
            "what uses it."
        ) from error


def _shown_address(listening: socket.socket) -> str:
    host, port, *_ = listening.getsockname()
    return f"http://[{host}]:{port}/" if ":" in host else f"http://{host}:{port}/"


def port(text: str) -> int:
    """A number of a port."""
    if not (text.isascii() and text.isdigit() and int(text) < 1 << 16):
        raise argparse.ArgumentTypeError(f"{text!r} is no port; give 0 to 65535")
    return int(text)
