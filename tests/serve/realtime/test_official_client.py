"""The official client, unchanged, through a real server in a process's own thread."""

import asyncio
import base64
import contextlib
import socket
import threading
from collections.abc import Iterator

import numpy as np
import openai
import pytest
import uvicorn

from granite_mlx import GraniteSpeech

from .speaking import COMPLETED, app, pcm

ENGLISH = "yesterday the neighbour found a small horse at home"
DIGITS = "three eight seven nine six four"
ENOUGH_S = 60
TYPES = {
    "session.created": "SessionCreatedEvent",
    "session.updated": "SessionUpdatedEvent",
    "input_audio_buffer.speech_started": "InputAudioBufferSpeechStartedEvent",
    "input_audio_buffer.speech_stopped": "InputAudioBufferSpeechStoppedEvent",
    "input_audio_buffer.committed": "InputAudioBufferCommittedEvent",
    "conversation.item.added": "ConversationItemAdded",
    "conversation.item.done": "ConversationItemDone",
    "conversation.item.input_audio_transcription.delta": (
        "ConversationItemInputAudioTranscriptionDeltaEvent"
    ),
    COMPLETED: "ConversationItemInputAudioTranscriptionCompletedEvent",
}


@pytest.fixture(scope="module")
def address(model: GraniteSpeech) -> Iterator[str]:
    """Of a server on a free port."""
    listening = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(app(model), log_level="error", ws="websockets-sansio", lifespan="off")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
    thread.start()
    yield f"127.0.0.1:{listening.getsockname()[1]}"
    server.should_exit = True
    thread.join(ENOUGH_S)
    listening.close()


def client(address: str) -> openai.AsyncOpenAI:
    return openai.AsyncOpenAI(
        api_key="none",
        base_url=f"http://{address}/v1",
        websocket_base_url=f"ws://{address}/v1",
    )


async def transcribed(address: str, sound: bytes, n_turns: int, *, manual: bool) -> list:
    """All events of a session of so many turns."""
    events = []
    async with (
        client(address) as asking,
        asking.realtime.connect(extra_query={"intent": "transcription"}) as connection,
        asyncio.timeout(ENOUGH_S),
    ):
        await connection.session.update(
            session={
                "type": "transcription",
                "audio": {
                    "input": {
                        "format": {"type": "audio/pcm", "rate": 24000},
                        "transcription": {"model": "gpt-4o-transcribe", "language": "en"},
                        "turn_detection": None if manual else {"type": "server_vad"},
                    }
                },
            }
        )
        for start in range(0, len(sound), 9600):
            chunk = base64.b64encode(sound[start : start + 9600]).decode()
            await connection.input_audio_buffer.append(audio=chunk)
        if manual:
            await connection.input_audio_buffer.commit()
        async for event in connection:
            events.append(event)
            n_turns -= event.type == COMPLETED
            if not n_turns:
                break
    return events


def test_server_vad(address: str, english: np.ndarray, digits: np.ndarray) -> None:
    pause = np.zeros(16_000, np.float32)
    sound = pcm(np.concatenate([english, pause, digits, pause]))
    events = asyncio.run(transcribed(address, sound, 2, manual=False))
    assert [one.transcript for one in events if one.type == COMPLETED] == [ENGLISH, DIGITS]
    known = [one for one in events if not one.type.startswith("granite.")]
    assert {one.type: type(one).__name__ for one in known} == TYPES


def test_manual_commit(address: str, english: np.ndarray) -> None:
    events = asyncio.run(transcribed(address, pcm(english), 1, manual=True))
    assert events[-1].transcript == ENGLISH
    assert events[-1].usage.type == "duration"


def test_an_error_is_an_event(address: str) -> None:
    async def ask() -> object:
        async with client(address) as asking, asking.realtime.connect(model="demo") as connection:
            await connection.input_audio_buffer.commit()
            async for event in connection:
                if event.type == "error":
                    return event
        return None

    event = asyncio.run(ask())
    assert type(event).__name__ == "RealtimeErrorEvent"
    assert event.error.code == "input_audio_buffer_commit_empty"


def test_many_clients_at_once(address: str, english: np.ndarray) -> None:
    async def all_of_them() -> list:
        sessions = [transcribed(address, pcm(english), 1, manual=True) for _ in range(8)]
        return await asyncio.gather(*sessions)

    texts = [events[-1].transcript for events in asyncio.run(all_of_them())]
    assert texts == [ENGLISH] * 8


def test_a_client_that_breaks_off_frees_its_place(address: str, english: np.ndarray) -> None:
    async def break_off() -> None:
        async with client(address) as asking, asking.realtime.connect(model="demo") as connection:
            chunk = base64.b64encode(pcm(english)).decode()
            await connection.input_audio_buffer.append(audio=chunk)
            connection._connection.transport.abort()
            with contextlib.suppress(Exception):
                await connection.recv()

    for _ in range(10):  # more than may be there at once
        with contextlib.suppress(Exception):
            asyncio.run(break_off())
    events = asyncio.run(transcribed(address, pcm(english), 1, manual=True))
    assert events[-1].transcript == ENGLISH
