"""The real server, in a thread of its own, with the demo checkpoint."""

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile

import granite_mlx
from granite_mlx import GraniteSpeech
from granite_mlx.serve.access import Access
from granite_mlx.serve.app import server_app
from granite_mlx.serve.limits import ServerLimits
from granite_mlx.serve.server import Server, listening_socket

from .asking import Address, written

ENOUGH_S = 60


@pytest.fixture(scope="package")
def model() -> Iterator[GraniteSpeech]:
    with granite_mlx.load("demo") as model:
        yield model


@pytest.fixture(scope="package")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the servers hold uploads."""
    return tmp_path_factory.mktemp("uploads")


@pytest.fixture(scope="module")
def serve(model: GraniteSpeech, folder: Path) -> Iterator[Callable[..., Address]]:
    """Starts a server -> its address."""
    running = []

    def start(access: Access | None = None, limits: ServerLimits | None = None) -> Address:
        app = server_app(model, folder, access, limits)
        listening, started = listening_socket("127.0.0.1", 0), threading.Event()
        server = Server(app, started.set)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        running.append((server, thread))
        assert started.wait(ENOUGH_S)
        return Address(listening.getsockname()[1])

    yield start
    for server, _ in running:
        server.should_exit = True
    for _, thread in running:
        thread.join(ENOUGH_S)
        assert not thread.is_alive()
    model.limit_requests(None)


@pytest.fixture(scope="module")
def address(serve: Callable[..., Address]) -> Address:
    """Of a server as it is without any option."""
    return serve()


@pytest.fixture(scope="session")
def english(demo_checkpoint: Path) -> bytes:
    """A sentence."""
    return (demo_checkpoint / "examples" / "english.flac").read_bytes()


@pytest.fixture(scope="session")
def long_speech(demo_checkpoint: Path) -> bytes:
    """Ten minutes: nobody waits for its end."""
    samples, rate = soundfile.read(demo_checkpoint / "examples" / "english.flac", dtype="int16")
    return written(np.tile(samples, 200), rate)
