"""A real Chromium in front of the real server with the demo checkpoint."""

import shutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

import granite_mlx
from granite_mlx.serve.access import Access
from granite_mlx.serve.app import server_app
from granite_mlx.serve.server import Server, listening_socket

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
PATIENCE_MS = 60_000  # for machines that have much else to do


@pytest.fixture(scope="package")
def serve(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., str]]:
    """Starts a server -> its address."""
    running = []
    folder = tmp_path_factory.mktemp("uploads")

    def start(token: str | None = None) -> str:
        listening, started = listening_socket("127.0.0.1", 0), threading.Event()
        server = Server(server_app(model, folder, Access(token)), started.set)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        running.append((server, thread))
        assert started.wait(PATIENCE_MS / 1000)
        return f"http://127.0.0.1:{listening.getsockname()[1]}/"

    with granite_mlx.load("demo") as model:
        yield start
        for server, thread in running:
            server.should_exit = True
            thread.join()


@pytest.fixture(scope="package")
def address(serve: Callable[..., str]) -> str:
    """Of a server that asks for no token."""
    return serve()


@pytest.fixture(scope="package")
def microphone(tmp_path_factory: pytest.TempPathFactory, demo_checkpoint: Path) -> Path:
    """What the browser hears: an English sentence, then silence."""
    import numpy as np
    import soundfile

    samples, rate = soundfile.read(demo_checkpoint / "examples" / "english.flac")
    path = tmp_path_factory.mktemp("sound") / "microphone.wav"
    around = np.zeros(rate // 2), samples, np.zeros(20 * rate)
    soundfile.write(path, np.concatenate(around), rate)
    return path


@pytest.fixture(scope="package")
def browser(microphone: Path) -> Iterator[object]:
    """Chromium, with a recording for its microphone."""
    playwright = pytest.importorskip("playwright.sync_api")
    if CHROMIUM is None:
        pytest.skip("there is no Chromium on this machine: install Debian's chromium")
    with playwright.sync_playwright() as driver:
        chromium = driver.chromium.launch(
            executable_path=CHROMIUM,
            args=[
                "--no-sandbox",  # containers run as root
                "--disable-gpu",
                "--use-fake-ui-for-media-stream",
                "--use-fake-device-for-media-stream",
                f"--use-file-for-fake-audio-capture={microphone}%noloop",
            ],
        )
        yield chromium
        chromium.close()


@pytest.fixture
def open_page(browser) -> Iterator[Callable[..., object]]:
    """Opens the page. At the end nothing has gone wrong, and nothing was asked of others."""
    opened = []

    def open_at(address: str, **options: object):
        context = browser.new_context(permissions=["microphone"], **options)
        page = context.new_page()
        page.set_default_timeout(PATIENCE_MS)
        seen = SimpleNamespace(requests=[], errors=[])
        page.on("request", lambda request: seen.requests.append(request.url))
        page.on("pageerror", lambda error: seen.errors.append(str(error)))
        page.on("console", lambda said: _note(seen.errors, said))
        opened.append((address, context, seen))
        page.goto(address)
        return page

    yield open_at
    for address, context, seen in opened:
        context.close()
        own = (address, f"blob:{address}")
        assert [url for url in seen.requests if not url.startswith(own)] == []
        assert seen.errors == []


def _note(errors: list[str], said) -> None:
    # The browser itself tells of answers such as 401, which the page expects.
    if said.type == "error" and "Failed to load resource" not in said.text:
        errors.append(said.text)
