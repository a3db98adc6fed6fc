"""A client that can be as wrong as a test wants it to be."""

import http.client
import io
import json
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import soundfile

BOUNDARY = "the-end-of-a-part"
FORM = f"multipart/form-data; boundary={BOUNDARY}"
TRANSCRIPTIONS = "/v1/audio/transcriptions"
TRANSLATIONS = "/v1/audio/translations"
ENOUGH_S = 60


@dataclass(frozen=True)
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode()

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def error(self) -> dict[str, Any]:
        """Of an answer in OpenAI's shape."""
        assert self.headers["content-type"] == "application/json"
        assert self.json.keys() == {"error"}
        assert self.json["error"].keys() == {"message", "type", "param", "code"}
        assert self.json["error"]["message"].endswith(".")
        return self.json["error"]


@dataclass(frozen=True)
class Address:
    port: int

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def ask(self, method: str, path: str, body: bytes | None = None, **headers: str) -> Answer:
        """Headers are written with _ for -."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=ENOUGH_S)
        try:
            connection.request(method, path, body, named)
            response = connection.getresponse()
            found = {name.lower(): value for name, value in response.getheaders()}
            return Answer(response.status, found, response.read())
        finally:
            connection.close()

    def post(
        self,
        file: bytes | None,
        *fields: tuple[str, str],
        path: str = TRANSCRIPTIONS,
        **headers: str,
    ) -> Answer:
        """A form as OpenAI's clients send it."""
        return self.ask("POST", path, form(file, *fields), content_type=FORM, **headers)

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), ENOUGH_S)


def form(file: bytes | None, *fields: tuple[str, str]) -> bytes:
    parts = [part(f'name="{name}"', value.encode()) for name, value in fields]
    if file is not None:
        parts.append(part('name="file"; filename="x.flac"', file))
    return b"".join(parts) + f"--{BOUNDARY}--\r\n".encode()


def part(disposition: str, value: bytes) -> bytes:
    head = f"--{BOUNDARY}\r\nContent-Disposition: form-data; {disposition}\r\n\r\n"
    return head.encode() + value + b"\r\n"


def head(n_bytes: int | None, path: str = TRANSCRIPTIONS, content_type: str = FORM) -> bytes:
    """The head of a request that a test sends by itself; None sends the body in chunks."""
    length = "Transfer-Encoding: chunked" if n_bytes is None else f"Content-Length: {n_bytes}"
    return (
        f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: {content_type}\r\n"
        f"{length}\r\n\r\n"
    ).encode()


def answer_on(connection: socket.socket) -> Answer:
    """What comes back on a socket."""
    response = http.client.HTTPResponse(connection)
    response.begin()
    found = {name.lower(): value for name, value in response.getheaders()}
    return Answer(response.status, found, response.read())


def silence(seconds: float, form: str = "WAV", rate: int = 16_000, n_channels: int = 1) -> bytes:
    """A recording in which nobody speaks."""
    return written(np.zeros((round(seconds * rate), n_channels), np.int16), rate, form)


def written(samples: np.ndarray, rate: int = 16_000, form: str = "FLAC") -> bytes:
    """Samples as a file."""
    file = io.BytesIO()
    soundfile.write(file, samples, rate, format=form)
    return file.getvalue()


def until(is_so: Callable[[], bool]) -> None:
    """Wait for it."""
    latest_s = time.monotonic() + ENOUGH_S
    while not is_so():
        assert time.monotonic() < latest_s
        time.sleep(0.02)
