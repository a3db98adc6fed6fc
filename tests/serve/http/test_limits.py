"""Clients that mean no good, and many at once: each gets a proper answer, and nothing is left."""

import contextlib
import json
import os
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from granite_mlx import GraniteSpeech, Transcript
from granite_mlx.serve.limits import MIB, ServerLimits
from granite_mlx.serve.protocol import PatientProtocol, PatientWebSocket

from .asking import (
    FORM,
    TRANSCRIPTIONS,
    TRANSLATIONS,
    Address,
    answer_on,
    form,
    head,
    part,
    silence,
    until,
)

SMALL = ServerLimits(upload_bytes=MIB, held_bytes=3 * MIB, duration_s=60.0)
ENOUGH_S = 60


@pytest.fixture(scope="module")
def small(serve: Callable[..., Address]) -> Address:
    """A server that takes little."""
    return serve(limits=SMALL)


@pytest.fixture(autouse=True)
def nothing_is_left(folder: Path, model: GraniteSpeech) -> Iterator[None]:
    """No file in the server's folder, no file that is only open, no work that goes on."""
    yield
    until(lambda: not open_uploads(folder) and model.n_requests == 0)
    assert [*folder.iterdir()] == []


def open_uploads(folder: Path) -> list[str]:
    """Files of the folder that this process holds open; Linux alone tells."""
    found = []
    for descriptor in Path("/proc/self/fd").glob("*"):
        try:
            found.append(os.readlink(descriptor))
        except OSError:  # it was the one that listed them
            continue
    return [name for name in found if name.startswith(str(folder))]


def test_an_upload_that_announces_too_much_is_not_read(small: Address) -> None:
    with small.connect() as connection:
        connection.sendall(head(1 << 40))
        answer = answer_on(connection)
    assert answer.status == 413
    assert answer.error["code"] == "file_too_large"
    assert "1 MiB" in answer.text


def test_an_upload_that_announces_nothing_is_counted(small: Address) -> None:
    """In chunks, without an end: the answer comes while it is still sent."""
    with small.connect() as connection:
        connection.sendall(head(None))
        start = form(b"").partition(b"--\r\n")[0].rpartition(b"\r\n--")[0]
        connection.sendall(chunk(start))
        for _ in range(SMALL.upload_bytes // 2**16 + 1):
            connection.sendall(chunk(bytes(2**16)))
        answer = answer_on(connection)
    assert answer.status == 413
    assert answer.headers["connection"] == "close"


def test_what_comes_behind_the_form_is_counted(small: Address, english: bytes) -> None:
    with small.connect() as connection:
        connection.sendall(head(None) + chunk(form(english)))
        for _ in range(8):
            connection.sendall(chunk(bytes(MIB)))
        connection.sendall(chunk(b""))
        answer = answer_on(connection)
    assert answer.status == 413
    assert answer.error["code"] == "file_too_large"


def chunk(data: bytes) -> bytes:
    return f"{len(data):x}\r\n".encode() + data + b"\r\n"


def test_one_byte_too_many(small: Address) -> None:
    assert small.post(bytes(SMALL.upload_bytes + 1)).error["code"] == "file_too_large"
    assert small.post(bytes(SMALL.upload_bytes)).error["code"] == "invalid_audio"


def test_uploads_together_have_a_limit(serve: Callable[..., Address]) -> None:
    """Three that stay unfinished take nearly all of it."""
    small = serve(limits=ServerLimits(upload_bytes=MIB, held_bytes=3 * MIB))
    almost = form(bytes(MIB - 1000))[:-100]

    def is_one_more_refused() -> bool:
        with contextlib.ExitStack() as held:
            for _ in range(3):
                connection = held.enter_context(small.connect())
                connection.sendall(head(len(almost) + 1000) + almost)
            time.sleep(1.0)  # what has not arrived by then is no reason to fail: it is tried again
            answer = small.post(silence(1.0))
        return answer.status == 503 and answer.error["code"] == "server_busy"

    until(is_one_more_refused)
    until(lambda: small.post(silence(1.0)).status == 200)


def test_a_recording_that_is_too_long(small: Address) -> None:
    for answer in (
        small.post(silence(62, "FLAC")),
        small.post(silence(62, "OGG")),
        small.post(silence(62, "FLAC"), ("end", "1")),
        small.post(silence(35, "FLAC", n_channels=2), ("channels", "separate")),
    ):
        assert answer.status == 413
        assert answer.error["code"] == "audio_too_long"
        assert answer.error["param"] == "file"
    assert small.post(silence(35, "FLAC", n_channels=2)).status == 200


def test_a_recording_that_is_too_long_is_refused_while_it_comes(small: Address) -> None:
    """Its beginning tells; the end is never sent."""
    beginning = form(silence(3600, "FLAC") + bytes(MIB // 2))[:-200]
    with small.connect() as connection:
        connection.sendall(head(MIB) + beginning)
        assert answer_on(connection).error["code"] == "audio_too_long"


def test_a_decompression_bomb(small: Address) -> None:
    """Days of silence in a small file, by a header that is honest, wrong, or tells nothing."""
    hours = silence(4 * 3600, "FLAC", rate=8_000)
    assert len(hours) < SMALL.upload_bytes
    blind = bytearray(hours)
    blind[21] &= 0xF0  # STREAMINFO: the number of samples
    blind[22:26] = bytes(4)
    short = bytearray(blind)
    short[22:26] = struct.pack(">I", 8_000)
    for bomb in (hours, bytes(blind)):
        answer = small.post(bomb)
        assert answer.status == 413
        assert answer.error["code"] == "audio_too_long"
    # A decoder stops where the header says.
    assert small.post(bytes(short)).json["usage"]["seconds"] == 1.0


def test_a_slow_sender(serve: Callable[..., Address]) -> None:
    address = serve(limits=ServerLimits(stall_s=0.3))
    for sent in (head(1000), head(1000) + form(b"x")[:40]):
        with address.connect() as connection:
            connection.sendall(sent)
            answer = answer_on(connection)
        assert answer.status == 408
        assert answer.error["code"] == "upload_timeout"


def test_headers_that_do_not_come(
    serve: Callable[..., Address], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(PatientProtocol, "look_every_s", 0.1)
    address = serve()
    for sent in (b"", b"POST /v1/audio/transcriptions HTTP/1.1\r\nHost: loc"):
        with address.connect() as connection:
            connection.sendall(sent)
            assert connection.recv(1000) == b""


def test_too_many_connections(
    serve: Callable[..., Address], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(PatientProtocol, "most_connections", 3)
    address = serve()
    held = [address.connect() for _ in range(3)]
    with address.connect() as one_more, contextlib.suppress(ConnectionResetError):
        assert one_more.recv(1) == b""
    for connection in held:
        connection.close()
    until(lambda: is_answered(address))


def is_answered(address: Address) -> bool:
    try:
        return address.ask("GET", "/health").status == 200
    except OSError:
        return False


def test_half_an_upload(small: Address, model: GraniteSpeech, english: bytes) -> None:
    body = form(english)
    with small.connect() as connection:
        connection.sendall(head(len(body)) + body[: len(body) // 2])
    with small.connect() as connection:  # with an end, but of the connection alone
        connection.sendall(head(len(body)) + body[: len(body) // 2])
        connection.shutdown(socket.SHUT_WR)
        connection.settimeout(ENOUGH_S)
        while connection.recv(1000):
            pass
    with small.connect() as connection:  # the form ends too early
        cut = body[: len(body) // 2]
        connection.sendall(head(len(cut)) + cut)
        assert answer_on(connection).error["code"] == "invalid_form"
    assert small.post(english).status == 200


@pytest.mark.parametrize(
    ("content_type", "body", "status"),
    [
        ("application/json", b"{}", 415),
        ("application/x-www-form-urlencoded", b"file=x", 415),
        ("", b"x", 415),
        ("multipart/form-data", b"x", 400),
        (FORM, b"x", 400),
        (FORM, b"", 400),
        (FORM, form(None), 400),
        (FORM, part("", b"x"), 400),
        (FORM, part('name="file"', b"x"), 400),
        (FORM, part('name="file"; filename="a"', b"x") + form(b"y"), 400),
        (FORM, part('name="mask"; filename="a"', b"x") + form(b"y"), 400),
        (FORM, part('name="model"', b"\xff") + form(b"y"), 400),
        (FORM, part('name="prompt"', b"x" * (5 * MIB)) + form(b"y"), 413),
        (FORM, part('name="keywords[]"', b"x") * 20_001 + form(b"y"), 400),
        (FORM, f"--{FORM[30:]}\r\n".encode() + b"X: y\r\n" * 10_000 + form(b"y"), 400),
    ],
)  # fmt: skip
def test_what_is_no_form(address: Address, content_type: str, body: bytes, status: int) -> None:
    for path in (TRANSCRIPTIONS, TRANSLATIONS):
        answer = address.ask("POST", path, body, content_type=content_type)
        assert answer.status == status
        assert answer.error["type"] == "invalid_request_error"


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"no sound",
        b"RIFF\xff\xff\xff\xffWAVEfmt ",
        bytes(100_000),
        b"#EXTM3U\n#EXTINF:1,\nfile:///etc/hostname\n",
        b"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nhttp://127.0.0.1:1/x.ts\n#EXT-X-ENDLIST\n",
        b"ffconcat version 1.0\nfile '/etc/hostname'\n",
        b"file:///etc/hostname",
        b"/etc/hostname",
        b"<?xml version='1.0'?><MPD><BaseURL>http://127.0.0.1:1/</BaseURL></MPD>",
    ],
)
def test_what_is_no_recording(address: Address, content: bytes) -> None:
    """Playlists, paths and addresses among them: nothing that they name is opened."""
    answer = address.post(content)
    assert (answer.status, answer.error["code"]) == (400, "invalid_audio")
    assert "the uploaded file" in answer.text


def test_a_path_in_the_place_of_the_name(address: Address, folder: Path, english: bytes) -> None:
    for name in ("../../../../tmp/evil.flac", "/etc/passwd", "C:\\x", "a\0b", "http://x/y"):
        body = part(f'name="file"; filename="{name}"', english) + form(None)
        assert address.ask("POST", TRANSCRIPTIONS, body, content_type=FORM).status == 200
    assert not Path("/tmp/evil.flac").exists()


def test_a_folder_that_was_cleared_away(address: Address, folder: Path) -> None:
    """As macOS does with what nobody used for three days."""
    folder.rmdir()
    assert address.post(silence(0.5)).status == 200


def test_a_disk_that_is_full(address: Address, folder: Path) -> None:
    folder.chmod(0)
    try:
        if os.access(folder, os.W_OK):
            pytest.skip("whoever may do everything is refused nothing")
        answer = address.post(silence(0.5))
    finally:
        folder.chmod(0o700)
    assert (answer.status, answer.error["code"]) == (503, "disk_full")


def test_who_goes_stops_the_work(
    address: Address, model: GraniteSpeech, english: bytes, long_speech: bytes
) -> None:
    for fields in ((), (("stream", "true"),)):
        with address.connect() as connection:
            body = form(long_speech, *fields)
            connection.sendall(head(len(body)) + body)
            until(lambda: model.n_requests == 1)
        until(lambda: model.n_requests == 0)
    assert address.post(english).status == 200


def test_an_answer_that_takes_too_long(
    serve: Callable[..., Address], model: GraniteSpeech, long_speech: bytes
) -> None:
    address = serve(limits=ServerLimits(answer_s=0.5))
    answer = address.post(long_speech)
    assert answer.status == 503
    assert answer.error["code"] == "timeout"
    assert answer.headers["x-should-retry"] == "false"
    assert model.n_requests == 0


@pytest.mark.slow
def test_a_slow_reader(serve: Callable[..., Address], monkeypatch: pytest.MonkeyPatch) -> None:
    """Who takes nothing of a long answer is not waited for."""
    monkeypatch.setattr(PatientProtocol, "look_every_s", 0.1)
    address = serve(limits=ServerLimits(stall_s=0.3))
    segments = [
        {"id": n, "start_s": float(n), "end_s": n + 1.0, "text": "x", "confidence": None,
         "speaker": None, "language": None, "target_language": None} for n in range(50_000)
    ]  # fmt: skip
    given = json.loads(Transcript((), None, None, "transcribe", 9000.0, "demo").to_json())
    body = json.dumps({**given, "segments": segments}, separators=(",", ":")).encode()
    n_bytes = len(Transcript.from_json(body.decode()).to_json())
    with address.connect() as connection:
        connection.sendall(head(len(body), "/v1/transcripts/json", "application/json") + body)
        connection.settimeout(ENOUGH_S)
        assert connection.recv(12) == b"HTTP/1.1 200"
        time.sleep(2.0)
        received = 0
        with contextlib.suppress(ConnectionResetError):
            while data := connection.recv(1 << 20):
                received += len(data)
    assert received < n_bytes


def test_a_live_client_that_reads_nothing(
    serve: Callable[..., Address], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is cut off, so that its place is free again."""
    monkeypatch.setattr(PatientWebSocket, "stall_s", 0.3)
    address = serve()
    wrong = json.dumps({"type": "x", "event_id": "x" * 30_000})
    with address.connect() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.sendall(UPGRADE)

        def go_on() -> None:
            for _ in range(10_000):
                connection.sendall(text_frame(wrong))
                time.sleep(0.001)

        with pytest.raises(ConnectionError):
            go_on()


UPGRADE = (
    b"GET /v1/realtime HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\n"
    b"Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
)


def text_frame(text: str) -> bytes:
    """A WebSocket's message of less than 64 KiB; its mask is 0."""
    return b"\x81\xfe" + len(text).to_bytes(2, "big") + bytes(4) + text.encode()


def test_a_hundred_clients_at_once(address: Address) -> None:
    """Each gets the answer to its own recording."""
    lengths = [0.3 + n / 100 for n in range(100)]
    barrier = threading.Barrier(len(lengths))

    def ask(length_s: float) -> float:
        body = silence(length_s)
        barrier.wait(ENOUGH_S)
        answer = address.post(body, ("response_format", "verbose_json"))
        assert answer.status == 200, answer.text
        return answer.json["duration"]

    with ThreadPoolExecutor(len(lengths)) as pool:
        told = list(pool.map(ask, lengths))
    assert told == pytest.approx(lengths, abs=0.001)


def test_more_clients_than_places(serve: Callable[..., Address], english: bytes) -> None:
    address = serve(limits=ServerLimits(n_requests=4))
    barrier = threading.Barrier(12)

    def ask(_: int):
        barrier.wait(ENOUGH_S)
        return address.post(english)

    with ThreadPoolExecutor(12) as pool:
        answers = list(pool.map(ask, range(12)))
    refused = [answer for answer in answers if answer.status != 200]
    assert 0 < len(refused) <= 8
    for answer in refused:
        assert answer.status == 503
        assert answer.error["code"] == "server_busy"
        assert int(answer.headers["retry-after"]) > 0
    assert address.post(english).status == 200


def test_a_model_that_others_use(
    serve: Callable[..., Address], model: GraniteSpeech, english: bytes
) -> None:
    """BusyError of the engine, whose places are shared with the process's own callers."""
    address = serve(limits=ServerLimits(n_requests=1))
    stream = model.stream(english)
    next(stream)
    answer = address.post(english)
    stream.close()
    assert answer.status == 503
    assert answer.error["code"] == "server_busy"
    assert int(answer.headers["retry-after"]) > 0
