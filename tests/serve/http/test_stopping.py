"""A server that is ended while it works: everybody is told, and nothing goes on."""

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from granite_mlx import GraniteSpeech
from granite_mlx.serve import server as server_module
from granite_mlx.serve.app import server_app
from granite_mlx.serve.server import Server, listening_socket

from .asking import Address, answer_on, form, head, until

ENOUGH_S = 60


def test_whoever_still_waits_is_told(
    model: GraniteSpeech, folder: Path, long_speech: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server_module, "GOODBYE_S", 0.2)
    listening, started = listening_socket("127.0.0.1", 0), threading.Event()
    server = Server(server_app(model, folder), started.set)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
    thread.start()
    assert started.wait(ENOUGH_S)
    address = Address(listening.getsockname()[1])
    half = form(long_speech)[:-100]
    with address.connect() as uploading, ThreadPoolExecutor(2) as pool:
        whole = pool.submit(address.post, long_speech)
        streamed = pool.submit(address.post, long_speech, ("stream", "true"))
        uploading.sendall(head(len(half) + 100) + half)
        until(lambda: model.n_requests == 2)
        until(lambda: len(server.server_state.tasks) == 3)
        server.should_exit = True
        assert answer_on(uploading).error["code"] == "stopping"
        assert whole.result(ENOUGH_S).status == 503
        assert whole.result().error["code"] == "stopping"
        assert '"code": "stopping"' in streamed.result(ENOUGH_S).text
    thread.join(ENOUGH_S)
    assert not thread.is_alive()
    assert model.n_requests == 0
    assert [*folder.iterdir()] == []
    with pytest.raises(OSError, match="refused"):
        address.connect()
