"""`granite-mlx serve` as a process: how it begins, how it ends, what it leaves."""

import contextlib
import http.client
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from granite_mlx.serve.folder import LOCK, PREFIX, clear_stale, own_folder

Run = Callable[..., Any]
ENOUGH_S = 60
ENGLISH = "yesterday the neighbour found a small horse at home"
BOUNDARY = "end-of-part"


@dataclass(frozen=True)
class Served:
    """A server: its process, its port, and its folder of uploads."""

    process: subprocess.Popen
    port: int
    folder: Path


@pytest.fixture
def serving(start: Run, tmp_path: Path) -> Run:
    """Start a server with the demo checkpoint, whose folder nobody else's lies beside."""
    temporary = tmp_path / "temporary"
    temporary.mkdir()

    def folders() -> set[Path]:
        return {*temporary.glob(f"{PREFIX}*")}

    @contextlib.contextmanager
    def serving(*arguments: str | Path, **env: str) -> Iterator[Served]:
        before = folders()
        command = ("serve", "-m", "demo", "--port", "0", *arguments)
        with start(*command, real=True, env={"TMPDIR": str(temporary), **env}) as process:
            line = process.stderr.readline().decode()
            found = re.fullmatch(r"Listening at http://(127\.0\.0\.1|\[::1\]):(\d+)/\n", line)
            assert found is not None, line + process.stderr.read().decode()
            (folder,) = folders() - before
            yield Served(process, int(found[2]), folder)

    return serving


def transcribed(port: int, recording: Path) -> str:
    disposition = 'Content-Disposition: form-data; name="file"; filename="x"'
    head = f"--{BOUNDARY}\r\n{disposition}\r\n\r\n".encode()
    body = head + recording.read_bytes() + f"\r\n--{BOUNDARY}--\r\n".encode()
    request = urllib.request.Request(
        f"http://localhost:{port}/v1/audio/transcriptions",
        body,
        {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"},
    )
    with urllib.request.urlopen(request, timeout=ENOUGH_S) as answer:
        return answer.read().decode()


def half_an_upload(port: int) -> socket.socket:
    """On its way to the server's folder."""
    connection = socket.create_connection(("127.0.0.1", port), ENOUGH_S)
    connection.sendall(
        f"POST /v1/audio/transcriptions HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9999\r\n"
        f"Content-Type: multipart/form-data; boundary={BOUNDARY}\r\n\r\n--{BOUNDARY}\r\n"
        'Content-Disposition: form-data; name="file"; filename="x"\r\n\r\nhalf'.encode()
    )
    return connection


def until_uploading(served: Served) -> None:
    """Wait until a file is open in the server's folder, the lock aside; Linux alone tells."""
    latest_s = time.monotonic() + ENOUGH_S
    while sys.platform == "linux":
        found = [os.readlink(one) for one in Path(f"/proc/{served.process.pid}/fd").glob("*")]
        if any(name.startswith(f"{served.folder}/") and not name.endswith(LOCK) for name in found):
            return
        assert time.monotonic() < latest_s
        time.sleep(0.02)


def until_refusing(port: int) -> None:
    """Wait until nobody can connect any more."""
    with contextlib.suppress(ConnectionRefusedError):
        while True:
            socket.create_connection(("127.0.0.1", port), ENOUGH_S).close()
            time.sleep(0.02)


def test_from_start_to_sigterm(serving: Run, demo_checkpoint: Path) -> None:
    with serving() as served:
        assert [path.name for path in served.folder.iterdir()] == [LOCK]
        assert ENGLISH in transcribed(served.port, demo_checkpoint / "examples" / "english.flac")
        served.process.send_signal(signal.SIGTERM)
        out, err = served.process.communicate(timeout=ENOUGH_S)
        assert (served.process.returncode, out) == (143, b"")
        assert err == b"granite-mlx: interrupted.\n"
        assert not served.folder.exists()


@pytest.mark.slow
def test_a_second_ctrl_c_waits_for_nobody(serving: Run) -> None:
    """An upload that will never end keeps the server for a while, and then no more."""
    with serving() as served, half_an_upload(served.port) as upload:
        until_uploading(served)
        served.process.send_signal(signal.SIGINT)
        until_refusing(served.port)  # two signals at once would be one
        upload.sendall(b"more")
        served.process.send_signal(signal.SIGINT)
        assert b'"stopping"' in b"".join(iter(lambda: upload.recv(1000), b""))
        out, err = served.process.communicate(timeout=ENOUGH_S)
        assert (served.process.returncode, out) == (130, b"")
        assert err == b"granite-mlx: interrupted.\n"
        assert not served.folder.exists()


@pytest.mark.slow
def test_killed_and_started_again(serving: Run, demo_checkpoint: Path) -> None:
    """On the same port; what the first one left is cleared away."""
    with serving() as first:
        upload = half_an_upload(first.port)
        until_uploading(first)
        first.process.kill()
        first.process.wait(ENOUGH_S)
        upload.close()
        assert [path.name for path in first.folder.iterdir()] == [LOCK]  # uploads have no names
        with serving("--port", str(first.port), "--unload-after", "0.1") as second:
            assert second.port == first.port
            english = demo_checkpoint / "examples" / "english.flac"
            assert ENGLISH in transcribed(second.port, english)
            assert not first.folder.exists()


def test_a_second_server_leaves_the_first_ones_folder(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with own_folder() as first, own_folder() as second:
        assert first != second
        clear_stale()
        assert first.exists()
        assert second.exists()
    assert [*tmp_path.iterdir()] == []


def test_only_stale_folders_are_cleared(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    stale, young, old, other = (
        tmp_path / name for name in (f"{PREFIX}stale", f"{PREFIX}young", f"{PREFIX}old", "other")
    )
    for path in (stale, young, old, other):
        path.mkdir()
    (stale / LOCK).touch()
    (stale / "left").write_text("x")
    os.utime(old, (0, 0))
    (tmp_path / f"{PREFIX}link").symlink_to(other)
    (tmp_path / f"{PREFIX}file").touch()
    clear_stale()
    left = sorted(path.name for path in tmp_path.iterdir())
    assert left == sorted([f"{PREFIX}file", f"{PREFIX}link", young.name, "other"])


def test_the_token_of_the_environment(serving: Run) -> None:
    with serving("--host", "::1", GRANITE_MLX_TOKEN="a long secret") as served:
        statuses = []
        for headers in ({}, {"Authorization": "Bearer a long secret"}):
            connection = http.client.HTTPConnection("::1", served.port, timeout=ENOUGH_S)
            connection.request("GET", "/v1/models", headers=headers)
            statuses.append(connection.getresponse().status)
            connection.close()
        assert statuses == [401, 200]


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (["--host", "0.0.0.0"], "a token is needed: set GRANITE_MLX_TOKEN, or listen on 127.0.0.1"),
        (["--host", "::"], "a token is needed"),
        (["--token", "short"], "fewer than 8 characters"),
        (["--token", ""], "fewer than 8 characters"),
        (["--port", "65536"], "'65536' is no port"),
        (["--port", "-1"], "no port"),
        (["--max-requests", "0"], "not 1 or more"),
        (["--max-requests", "251"], "at most 250"),
        (["--max-duration", "0"], "more than 0"),
        (["--max-stall", "nan"], "not a number above 0"),
        (["--host", "203.0.113.7", "--token", "long enough"], "cannot listen on port 8000 of 203"),
    ],
)
def test_what_makes_no_sense(model: Any, run: Run, arguments: list[str], part: str) -> None:
    ran = run("serve", *arguments)
    assert (ran.code, ran.out) == (2, "")
    assert part in ran.err
    assert ran.err.count("\n") == 1
    assert model.loaded == []


def test_a_port_that_is_taken(model: Any, run: Run) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        ran = run("serve", "--port", port)
    assert ran.code == 2
    assert f"cannot listen on port {port} of 127.0.0.1" in ran.err
    assert "--port" in ran.err
    assert model.loaded == []


def test_a_model_that_cannot_be_loaded(run: Run) -> None:
    ran = run("serve", "-m", "missing", "--port", "0")
    assert ran.code == 2
    assert "there is no model called missing" in ran.err


@pytest.mark.parametrize("name", ["starlette", "uvicorn", "python_multipart"])
def test_without_the_extra(name: str, repository: Path) -> None:
    code = (
        f"import sys; sys.modules[{name!r}] = None; from granite_mlx.cli import main; "
        "sys.exit(main(['serve']))"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code], cwd=repository, capture_output=True, text=True
    )
    assert (ran.returncode, ran.stdout) == (2, "")
    assert ran.stderr == (
        f"granite-mlx: serve needs {name}, which is not installed: pip install "
        "'granite-mlx[serve]'.\n"
    )
