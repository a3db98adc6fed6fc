"""Any server that speaks OpenAI's `POST /v1/audio/transcriptions`, which must be running.

Options: `url` up to and with /v1; `model`, the name that the server knows; `fields`, a table of
more form fields; `key_variable`, the environment variable that holds an API key, if one is needed;
`stream = true` to ask for events, which tell when the first token comes. What the server's process
holds in memory is not known.
"""

from __future__ import annotations

import json
import os
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Mapping
from typing import Any

from benchmarks.contenders.protocol import Answer, Request, options, serve

LIMIT_S = 3600.0
PATH = "/audio/transcriptions"
DELTA = "transcript.text.delta"
LAST_WORDS = 300


class Worker:
    """Asks the server."""

    def __init__(self, settings: Mapping[str, Any]) -> None:
        self._settings = settings
        self._model = ""

    def load(self, model: str, dtype: str) -> Answer:
        """The server has its model already."""
        self._model = self._settings.get("model", model)
        return Answer({})

    def end_to_end(self, request: Request) -> Answer:
        """Send a recording and wait for its text.

        Raises:
            RuntimeError: the server answers with an error, or not at all.
        """
        streams = bool(self._settings.get("stream"))
        fields = {"model": self._model, "response_format": "json", "temperature": "0"}
        fields |= {key: str(value) for key, value in self._settings.get("fields", {}).items()}
        fields |= {"stream": "true"} if streams else {}
        body, kind = form(fields, request.audio.name, request.audio.read_bytes())
        asked = urllib.request.Request(self._url(), body, self._headers(kind))
        start_s = time.perf_counter()
        try:
            with urllib.request.urlopen(asked, timeout=LIMIT_S) as reply:
                text, first_s = read_events(reply, start_s) if streams else read_json(reply)
        except urllib.error.HTTPError as error:
            said = error.read().decode(errors="replace")[:LAST_WORDS]
            raise RuntimeError(f"the server answers {error.code}: {said}") from error
        except OSError as error:
            raise RuntimeError(f"{self._url()} is out of reach: {error}") from error
        values = {"total_s": time.perf_counter() - start_s}
        return Answer(values if first_s is None else values | {"first_token_s": first_s}, text)

    def _url(self) -> str:
        return str(self._settings["url"]).rstrip("/") + PATH

    def _headers(self, kind: str) -> dict[str, str]:
        variable = self._settings.get("key_variable")
        key = os.environ.get(variable) if variable else None
        return {"Content-Type": kind} | ({"Authorization": f"Bearer {key}"} if key else {})


def form(fields: Mapping[str, str], file_name: str, content: bytes) -> tuple[bytes, str]:
    """A multipart body with a file (RFC 7578), and its Content-Type."""
    border = uuid.uuid4().hex
    parts = [
        f'--{border}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode()
        for name, value in fields.items()
    ]
    head = (
        f'--{border}\r\nContent-Disposition: form-data; name="file"; filename="{file_name}"\r\n'
        "Content-Type: audio/wav\r\n\r\n"
    )
    body = b"".join([*parts, head.encode(), content, f"\r\n--{border}--\r\n".encode()])
    return body, f"multipart/form-data; boundary={border}"


def read_json(reply: Any) -> tuple[str, None]:
    """The text of an answer that comes as a whole."""
    return str(json.loads(reply.read())["text"]).strip(), None


def read_events(reply: Any, start_s: float) -> tuple[str, float | None]:
    """The text of server-sent events, and the seconds until the first piece of it."""
    pieces: list[str] = []
    first_s = None
    for line in reply:
        data = line.decode().strip().removeprefix("data:").strip()
        if not line.startswith(b"data:") or data == "[DONE]":
            continue
        event = json.loads(data)
        if event.get("type") == DELTA:
            first_s = time.perf_counter() - start_s if first_s is None else first_s
            pieces.append(event["delta"])
    return "".join(pieces).strip(), first_s


def main() -> None:
    """Answer the harness."""
    settings = options()
    worker = Worker(settings)
    versions = {"server": f"{settings['url']}, {settings.get('model', 'its model')}"}
    serve(versions, worker.load, {"end_to_end": worker.end_to_end}, lambda work: work())


if __name__ == "__main__":
    main()
