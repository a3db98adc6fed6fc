"""What a client of /v1/realtime sends, and how it reads the answers."""

import base64
import json
from collections.abc import Callable
from typing import Any

import numpy as np
import soxr
from starlette.applications import Starlette
from starlette.routing import WebSocketRoute
from starlette.testclient import TestClient, WebSocketTestSession

from granite_mlx.serve.realtime import Realtime, RealtimeLimits

TRANSCRIPTION = "conversation.item.input_audio_transcription"
COMPLETED = f"{TRANSCRIPTION}.completed"
SECOND_BYTES = 48_000


def app(model: Any, limits: RealtimeLimits | None = None, **options: Any) -> Starlette:
    return Starlette(routes=[WebSocketRoute("/v1/realtime", Realtime(model, limits, **options))])


def client(model: Any, limits: RealtimeLimits | None = None, **options: Any) -> TestClient:
    return TestClient(app(model, limits, **options), base_url="http://127.0.0.1:8000")


def pcm(samples: np.ndarray, rate: int = 24_000) -> bytes:
    """Float samples at 16 kHz -> 16-bit PCM."""
    sound = samples if rate == 16_000 else soxr.resample(samples, 16_000, rate)
    return (np.clip(sound, -1, 1) * 32767).astype("<i2").tobytes()


def append(sound: bytes) -> dict[str, Any]:
    return {"type": "input_audio_buffer.append", "audio": base64.b64encode(sound).decode()}


def speak(socket: WebSocketTestSession, sound: bytes, size: int = SECOND_BYTES // 5) -> None:
    for start in range(0, len(sound), size):
        socket.send_json(append(sound[start : start + size]))


def update(**audio_input: Any) -> dict[str, Any]:
    session = {"type": "transcription", "audio": {"input": audio_input}}
    return {"type": "session.update", "session": session}


def until(
    socket: WebSocketTestSession, reached: str | Callable[[dict[str, Any]], bool]
) -> list[dict[str, Any]]:
    """All messages up to the first of a type, that one included."""
    messages = []
    while True:
        messages.append(json.loads(socket.receive_text()))
        last = messages[-1]
        if last["type"] == reached if isinstance(reached, str) else reached(last):
            return messages


def answer(socket: WebSocketTestSession) -> dict[str, Any]:
    """The next message that is no draft."""
    return until(socket, lambda message: message["type"] != "granite.transcription.draft")[-1]
