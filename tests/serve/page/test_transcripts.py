"""POST /v1/transcripts/{format}."""

import asyncio
import contextlib
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.routing import Route
from starlette.testclient import TestClient

from granite_mlx import Segment, Transcript, Word
from granite_mlx.serve import transcript_writer, transcripts
from granite_mlx.serve.errors import ApiError, ClientGone, ErrorAnswers
from granite_mlx.serve.limits import ServerLimits
from granite_mlx.serve.stopping import Stop
from granite_mlx.serve.transcripts import TranscriptEndpoint

WORDS = (Word(0.5, 0.9, "Zoé", 0.9), Word(1.0, 1.4, "rit", 0.4))
TRANSCRIPT = Transcript(
    (Segment(0.5, 1.4, "Zoé rit", 0.65, words=WORDS),), "fr", None, "transcribe", 2.0, "demo"
)


SLOW_S = 60.0


def spoken(text: str, end_s: float = 3.0) -> bytes:
    """A transcript of one segment."""
    segments = (Segment(0.0, end_s, text),)
    return Transcript(segments, None, None, "transcribe", 3.0, "demo").to_json().encode()


@pytest.fixture(scope="module")
def client() -> Iterator[TestClient]:
    route = Route("/v1/transcripts/{format}", TranscriptEndpoint(ServerLimits(), Stop()))
    with TestClient(Starlette(routes=[route], middleware=[Middleware(ErrorAnswers)])) as client:
        yield client


@pytest.mark.parametrize("name", ["txt", "srt", "vtt", "tsv", "json"])
def test_as_save_writes_it(client, name, tmp_path):
    answer = client.post(f"/v1/transcripts/{name}", content=TRANSCRIPT.to_json())
    TRANSCRIPT.save(tmp_path / f"x.{name}")
    assert answer.status_code == 200
    assert answer.content == (tmp_path / f"x.{name}").read_bytes()


def test_what_is_wrong_is_told(client):
    refused = [
        (client.post("/v1/transcripts/docx", content="{}"), 404, "'docx' is none of"),
        (client.post("/v1/transcripts/srt", content="{"), 400, "not JSON"),
        (client.post("/v1/transcripts/srt", content="{}"), 400, "schema_version is missing"),
        (client.post("/v1/transcripts/srt", content=b"\xff"), 400, "UTF-8"),
        (client.post("/v1/transcripts/srt", content="[" * 200_000), 400, "not JSON"),
        (client.post("/v1/transcripts/srt", content=spoken("x", 1e308)), 400, "end_s"),
        (client.post("/v1/transcripts/srt", content=spoken(" x" * 200_001)), 413, "200000 words"),
        (client.post("/v1/transcripts/vtt", content=spoken("好" * 200_001)), 413, "200000 words"),
    ]
    for answer, status, part in refused:
        assert answer.status_code == status
        assert part in answer.json()["error"]["message"]


def test_too_large(client, monkeypatch):
    monkeypatch.setattr(transcripts, "LARGEST_BYTES", 100)
    answer = client.post("/v1/transcripts/srt", content=TRANSCRIPT.to_json())
    assert answer.status_code == 413


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[], int]:
    """The writer sleeps -> how many are at it."""
    package = tmp_path / "slow_writer"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "__main__.py").write_text(
        "import os, pathlib, time\n"
        "pathlib.Path(__file__).with_name(f'{os.getpid()}.pid').touch()\n"
        f"time.sleep({SLOW_S})\n"
    )
    monkeypatch.setattr(transcripts, "_ROOT", tmp_path)
    monkeypatch.setattr(transcript_writer, "__name__", "slow_writer")

    def n_running() -> int:
        return sum(is_running(int(path.stem)) for path in package.glob("*.pid"))

    return n_running


def is_running(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True


def test_no_more_than_two_are_written_at_once_and_who_goes_ends_it(slow):
    """A third one waits. A client that goes and a server that ends do not wait for the writer."""

    async def ask() -> None:
        stop = Stop()
        endpoint = TranscriptEndpoint(ServerLimits(), stop)
        goes = asyncio.Event()
        first = asyncio.create_task(asked(endpoint, goes))
        second = asyncio.create_task(asked(endpoint, asyncio.Event()))
        await until(lambda: slow() == 2)
        others = [asyncio.create_task(asked(endpoint, asyncio.Event())) for _ in range(6)]
        await asyncio.sleep(0.5)
        assert slow() == 2
        with pytest.raises(ApiError) as found:
            await asked(endpoint, asyncio.Event())
        assert (found.value.status, found.value.code) == (503, "server_busy")
        goes.set()
        await first
        await until(lambda: slow() == 2)
        stop.begin()
        for one in (second, *others):
            with pytest.raises(ApiError) as found:
                await one
            assert (found.value.status, found.value.code) == (503, "stopping")
        assert slow() == 0

    asyncio.run(ask())


def test_what_takes_too_long_is_ended(slow, monkeypatch):
    monkeypatch.setattr(transcripts, "LONGEST_S", 0.5)
    endpoint = TranscriptEndpoint(ServerLimits(), Stop())
    with pytest.raises(ApiError, match="too long") as found:
        asyncio.run(asked(endpoint, asyncio.Event()))
    assert found.value.status == 413
    assert slow() == 0


@pytest.mark.parametrize("program", ["/Applications/Notes.app/Contents/MacOS/Notes", "", None])
def test_an_app_that_embeds_python_is_not_started_again(monkeypatch, client, program):
    monkeypatch.setattr(transcripts, "get_executable", lambda: program)
    answer = client.post("/v1/transcripts/srt", content=TRANSCRIPT.to_json())
    assert answer.status_code == 501
    assert "multiprocessing.set_executable" in answer.json()["error"]["message"]


def test_a_python_that_has_gone(monkeypatch, client, tmp_path):
    monkeypatch.setattr(transcripts, "get_executable", lambda: str(tmp_path / "python3.12"))
    answer = client.post("/v1/transcripts/srt", content=TRANSCRIPT.to_json())
    assert answer.status_code == 501
    assert "No such file" in answer.json()["error"]["message"]


@pytest.mark.parametrize("name", ["python", "python3", "python3.13t", "Python", "pypy3.11"])
def test_names_of_python(monkeypatch, name):
    monkeypatch.setattr(transcripts, "get_executable", lambda: f"/usr/bin/{name}".encode())
    assert transcripts._python() == f"/usr/bin/{name}"


async def asked(endpoint: TranscriptEndpoint, goes: asyncio.Event) -> None:
    """A client that goes when it is told to."""
    messages = [{"type": "http.request", "body": b"{}", "more_body": False}]

    async def receive():
        if messages:
            return messages.pop()
        await goes.wait()
        return {"type": "http.disconnect"}

    async def send(message):
        pytest.fail(f"it was answered: {message}")

    with contextlib.suppress(ClientGone):
        await endpoint({"path_params": {"format": "srt"}}, receive, send)


async def until(is_so: Callable[[], bool]) -> None:
    latest_s = time.monotonic() + SLOW_S / 2
    while not is_so():
        assert time.monotonic() < latest_s
        await asyncio.sleep(0.02)
