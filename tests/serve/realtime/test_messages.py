"""/v1/realtime through Starlette's test client: turns, settings, limits, hostile input."""

import json
import threading
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from starlette.websockets import WebSocketDisconnect

from granite_mlx import GraniteSpeech
from granite_mlx.live.events import Final, TurnDone, TurnStarted, TurnStopped
from granite_mlx.live.session import LiveSession
from granite_mlx.serve import realtime_session
from granite_mlx.serve.realtime import RealtimeLimits
from granite_mlx.serve.realtime_items import Items
from granite_mlx.transcript import Segment

from .speaking import (
    COMPLETED,
    TRANSCRIPTION,
    answer,
    append,
    client,
    pcm,
    speak,
    until,
    update,
)

ENGLISH = "yesterday the neighbour found a small horse at home"
DIGITS = "three eight seven nine six four"
PAUSE = np.zeros(16_000, np.float32)


def test_server_vad(model: GraniteSpeech, english: np.ndarray, digits: np.ndarray) -> None:
    sound = np.concatenate([PAUSE, english, PAUSE, digits, PAUSE])
    with client(model).websocket_connect("/v1/realtime?intent=transcription") as socket:
        created = answer(socket)
        assert created["type"] == "session.created"
        assert created["session"]["type"] == "transcription"
        speak(socket, pcm(sound))
        first, second = until(socket, COMPLETED), until(socket, COMPLETED)
    kinds = [one["type"] for one in first if one["type"] != "granite.transcription.draft"]
    assert kinds == [
        "input_audio_buffer.speech_started",
        "input_audio_buffer.speech_stopped",
        "input_audio_buffer.committed",
        "conversation.item.added",
        "conversation.item.done",
        f"{TRANSCRIPTION}.delta",
        COMPLETED,
    ]
    assert [first[-1]["transcript"], second[-1]["transcript"]] == [ENGLISH, DIGITS]
    started = next(one for one in first if one["type"].endswith("speech_started"))
    stopped = next(one for one in first if one["type"].endswith("speech_stopped"))
    assert 700 <= started["audio_start_ms"] <= 1100
    assert abs(stopped["audio_end_ms"] - 1000 - len(english) / 16) < 400
    assert {one["item_id"] for one in first if "item_id" in one} == {first[-1]["item_id"]}
    committed = next(one for one in second if one["type"].endswith("committed"))
    assert committed["previous_item_id"] == first[-1]["item_id"]
    assert len({one["event_id"] for one in first + second}) == len(first + second)
    (segment,) = first[-1]["granite"]["segments"]
    assert [word["text"] for word in segment["words"]] == ENGLISH.split()
    assert segment["words"][0]["start_s"] > 0.9
    assert first[-1]["usage"]["type"] == "duration"


def test_drafts_have_a_name_of_their_own(model: GraniteSpeech, english: np.ndarray) -> None:
    with client(model).websocket_connect("/v1/realtime") as socket:
        answer(socket)
        speak(socket, pcm(english)[: 2 * 48_000])
        draft = until(socket, "granite.transcription.draft")[-1]
        assert draft["text"]
        assert ENGLISH.startswith(draft["text"])
        speak(socket, pcm(np.concatenate([english, PAUSE]))[2 * 48_000 :])
        completed = until(socket, COMPLETED)
    assert completed[-1]["transcript"] == ENGLISH
    assert completed[-1]["item_id"] == draft["item_id"]


def test_manual_commits(model: GraniteSpeech, english: np.ndarray, digits: np.ndarray) -> None:
    sound = np.concatenate([english, PAUSE, digits])
    with client(model).websocket_connect("/v1/realtime") as socket:
        answer(socket)
        socket.send_json(update(turn_detection=None))
        assert answer(socket)["session"]["audio"]["input"]["turn_detection"] is None
        for part in (sound, digits):
            speak(socket, pcm(part))
            socket.send_json({"type": "input_audio_buffer.commit"})
            messages = until(socket, COMPLETED)
            wanted = model.transcribe(part, sample_rate=16_000).text
            assert messages[-1]["transcript"] == wanted
            deltas = [one["delta"] for one in messages if one["type"].endswith(".delta")]
            assert "".join(deltas) == wanted
            assert not any("speech_" in one["type"] for one in messages)
        socket.send_json({"type": "input_audio_buffer.commit", "event_id": "mine"})
        error = answer(socket)["error"]
    assert (error["code"], error["event_id"]) == ("input_audio_buffer_commit_empty", "mine")


def test_what_is_cleared_is_not_transcribed(
    model: GraniteSpeech, english: np.ndarray, digits: np.ndarray
) -> None:
    with client(model).websocket_connect("/v1/realtime") as socket:
        answer(socket)
        socket.send_json(update(turn_detection=None))
        answer(socket)
        speak(socket, pcm(english))
        socket.send_json({"type": "input_audio_buffer.clear"})
        assert answer(socket)["type"] == "input_audio_buffer.cleared"
        speak(socket, pcm(digits))
        socket.send_json({"type": "input_audio_buffer.commit"})
        assert until(socket, COMPLETED)[-1]["transcript"] == DIGITS


def test_16_khz_translation_and_keywords(model: GraniteSpeech, english: np.ndarray) -> None:
    with client(model).websocket_connect("/v1/realtime") as socket:
        answer(socket)
        message = update(
            format={"type": "audio/pcm", "rate": 16_000},
            turn_detection=None,
            transcription={"language": "en", "prompt": "Siobhan, Kubernetes", "model": "demo"},
        )
        message["session"]["granite"] = {"to": "fr", "drafts": False}
        socket.send_json(message)
        session = answer(socket)["session"]
        assert session["audio"]["input"]["format"]["rate"] == 16_000
        assert session["audio"]["input"]["transcription"]["keywords"] == ["Siobhan", "Kubernetes"]
        assert session["granite"] == {
            "to": "fr",
            "punctuate": False,
            "drafts": False,
            "ignored": [],
        }
        speak(socket, pcm(english, 16_000))
        socket.send_json({"type": "input_audio_buffer.commit"})
        messages = until(socket, COMPLETED)
    options: Any = {"to": "fr", "language": "en", "keywords": ["Siobhan", "Kubernetes"]}
    quantised = (np.clip(english, -1, 1) * 32767).astype("<i2") / np.float32(32768)
    wanted = model.translate(quantised, sample_rate=16_000, **options).text
    assert messages[-1]["transcript"] == wanted
    assert not any(one["type"].endswith("draft") for one in messages)


@pytest.mark.parametrize("texts", [("one", "", "two"), ("日本", "語です", "yes")])
def test_deltas_are_the_transcript(texts: tuple[str, ...]) -> None:
    """Chinese and Japanese have no spaces."""
    items = Items(at_pauses=True, is_beta=False, previous_id=None)
    segments = [(Segment(n, n + 1.0, text),) if text else () for n, text in enumerate(texts)]
    finals = [Final(0, n, n + 1.0, one) for n, one in enumerate(segments)]
    events = [TurnStarted(0, 0.0), finals[0], TurnStopped(0, 3.0), *finals[1:], TurnDone(0)]
    told = [json.loads(text) for event in events for text in items.messages(event)]
    deltas = [one["delta"] for one in told if one["type"].endswith(".delta")]
    assert "".join(deltas) == told[-1]["transcript"]


def test_settings_may_change_between_turns(
    model: GraniteSpeech, english: np.ndarray, digits: np.ndarray
) -> None:
    """What was sent before is written as it was asked for, and before the answer."""
    with client(model).websocket_connect("/v1/realtime") as socket:
        answer(socket)
        speak(socket, pcm(english))
        socket.send_json(update(turn_detection=None))
        messages = until(socket, "session.updated")
        assert [one["transcript"] for one in messages if one["type"] == COMPLETED] == [ENGLISH]
        item_id = next(one["item_id"] for one in messages if one["type"] == COMPLETED)
        speak(socket, pcm(digits))
        socket.send_json({"type": "input_audio_buffer.commit"})
        messages = until(socket, COMPLETED)
    committed = next(one for one in messages if one["type"] == "input_audio_buffer.committed")
    assert committed["previous_item_id"] == item_id
    (*_, last) = messages[-1]["granite"]["segments"]
    assert last["start_s"] >= len(english) / 16_000 - 0.1


def test_the_last_text_comes_before_new_settings(
    model: GraniteSpeech, english: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Even where all of it is told while the server's loop is busy."""

    def is_over(session: LiveSession) -> bool:
        session._worker.join()
        return True

    with client(model).websocket_connect("/v1/realtime") as socket:
        answer(socket)
        speak(socket, pcm(english))
        monkeypatch.setattr(LiveSession, "is_over", property(is_over))
        socket.send_json(update(turn_detection=None))
        messages = until(socket, "session.updated")
    assert [one["transcript"] for one in messages if one["type"] == COMPLETED] == [ENGLISH]


def test_the_betas_names(model: GraniteSpeech, english: np.ndarray) -> None:
    """The example of OpenAI's documentation as it stands."""
    session = {
        "input_audio_format": "pcm16",
        "input_audio_transcription": {"model": "gpt-4o-transcribe", "prompt": "", "language": ""},
        "turn_detection": {
            "type": "server_vad",
            "threshold": 0.5,
            "prefix_padding_ms": 300,
            "silence_duration_ms": 500,
        },
        "input_audio_noise_reduction": {"type": "near_field"},
        "include": ["item.input_audio_transcription.logprobs"],
    }
    headers = {"OpenAI-Beta": "realtime=v1"}
    with client(model).websocket_connect("/v1/realtime", headers=headers) as socket:
        assert answer(socket)["type"] == "transcription_session.created"
        socket.send_json({"type": "transcription_session.update", "session": session})
        updated = answer(socket)
        assert updated["type"] == "transcription_session.updated"
        assert updated["session"]["turn_detection"]["silence_duration_ms"] == 500
        assert set(updated["session"]["granite"]["ignored"]) == {
            "session.input_audio_noise_reduction",
            "session.turn_detection.threshold",
            "session.turn_detection.prefix_padding_ms",
            "session.include",
        }
        speak(socket, pcm(np.concatenate([english, PAUSE])))
        messages = until(socket, COMPLETED)
    assert messages[-1]["transcript"] == ENGLISH
    assert "conversation.item.created" in [one["type"] for one in messages]


@pytest.mark.parametrize(
    ("message", "code", "param"),
    [
        ("nothing", "invalid_json", None),
        ("[1]", "invalid_json", None),
        ("{}", "missing_required_parameter", "type"),
        ('{"type": 3}', "missing_required_parameter", "type"),
        ("[" * 100_000, "invalid_json", None),
        (f'{{"type": "x", "a": [{"[]," * 200_000}1]}}', "invalid_json", None),
        ('{"type": "response.create"}', "unknown_event", "type"),
        ('{"type": "input_audio_buffer.append"}', "invalid_value", "audio"),
        ('{"type": "input_audio_buffer.append", "audio": 5}', "invalid_value", "audio"),
        ('{"type": "input_audio_buffer.append", "audio": "*"}', "invalid_base64", "audio"),
        ('{"type": "input_audio_buffer.append", "audio": "é"}', "invalid_base64", "audio"),
        ('{"type": "input_audio_buffer.append", "audio": "AAAA"}', "invalid_value", "audio"),
        ('{"type": "input_audio_buffer.commit"}', "input_audio_buffer_commit_empty", None),
        ('{"type": "session.update"}', "invalid_value", "session"),
        ('{"type": "session.update", "session": []}', "invalid_value", "session"),
        (
            '{"type": "session.update", "session": {"type": "realtime"}}',
            "invalid_value",
            "session.type",
        ),
        (
            '{"type": "session.update", "session": {"voice": "alloy"}}',
            "invalid_value",
            "session.voice",
        ),
    ],
)
def test_wrong_messages_are_answered_and_the_session_goes_on(
    model: GraniteSpeech, message: str, code: str, param: str | None
) -> None:
    with client(model).websocket_connect("/v1/realtime") as socket:
        answer(socket)
        socket.send_text(message)
        error = answer(socket)
        assert error["type"] == "error"
        assert (error["error"]["code"], error["error"]["param"]) == (code, param)
        assert error["error"]["message"].endswith(".")
        socket.send_json(update())
        assert answer(socket)["type"] == "session.updated"


HALF = "\\ud83d"  # of a surrogate pair, as JSON writes it


@pytest.mark.parametrize(
    "message",
    [
        f'{{"type": "{HALF}"}}',
        f'{{"type": "x", "event_id": "{HALF}"}}',
        f'{{"type": "session.update", "session": {{"{HALF}": 1}}}}',
        f'{{"type": "session.update", "session": {{"type": "{HALF}"}}}}',
        f'{{"type": "session.update", "session": {{"granite": {{"to": "{HALF}"}}}}}}',
        f'{{"type": "session.update", "session": {{"granite": {{"punctuate": "{HALF}"}}}}}}',
        json.dumps(update(transcription={"model": "\ud83d"})),
        json.dumps(update(transcription={"language": "\ud83d"})),
        json.dumps(update(transcription={"prompt": "\ud83d."})),
        json.dumps(update(format="\ud83d")),
    ],
)
def test_half_a_character_is_an_error_like_others(model: GraniteSpeech, message: str) -> None:
    with client(model).websocket_connect("/v1/realtime") as socket:
        answer(socket)
        socket.send_text(message)
        assert answer(socket)["type"] == "error"
        socket.send_json(update())
        assert answer(socket)["type"] == "session.updated"


def test_half_a_character_in_a_keyword(model: GraniteSpeech) -> None:
    with client(model).websocket_connect("/v1/realtime") as socket:
        answer(socket)
        socket.send_json(update(transcription={"keywords": ["\ud83d"]}))
        assert answer(socket)["type"] in ("session.updated", "error")
        socket.send_json({"type": "input_audio_buffer.clear"})
        assert answer(socket)["type"] == "input_audio_buffer.cleared"


@pytest.mark.parametrize(
    ("audio_input", "param"),
    [
        ({"format": {"type": "audio/pcmu"}}, "format"),
        ({"format": {"type": "audio/pcm", "rate": 8000}}, "format"),
        ({"transcription": {"model": "llama"}}, "transcription.model"),
        ({"transcription": {"language": "Klingon"}}, "transcription.language"),
        ({"transcription": {"languages": ["en", "fr"]}}, "transcription.languages"),
        ({"transcription": {"languages": ["Klingon"]}}, "transcription.languages"),
        ({"transcription": {"language": "en", "languages": ["fr"]}}, "transcription.languages"),
        ({"transcription": {"keywords": [""]}}, "transcription.keywords"),
        ({"transcription": {"keywords": "one"}}, "transcription.keywords"),
        ({"transcription": {"prompt": "Write it as a poem, please."}}, "transcription.prompt"),
        ({"transcription": {"temperature": 1}}, "transcription.temperature"),
        ({"turn_detection": {"type": "semantic_vad"}}, "turn_detection.type"),
        ({"turn_detection": {"silence_duration_ms": 5}}, "turn_detection.silence_duration_ms"),
        ({"turn_detection": {"silence_duration_ms": "x"}}, "turn_detection.silence_duration_ms"),
        ({"turn_detection": {"idle_timeout_ms": 5000}}, "turn_detection.idle_timeout_ms"),
        ({"turn_detection": 3}, "turn_detection"),
        ({"colour": "red"}, "colour"),
    ],
)
def test_settings_that_are_not_for_this_server_are_named(
    model: GraniteSpeech, audio_input: dict[str, Any], param: str
) -> None:
    with client(model).websocket_connect("/v1/realtime") as socket:
        answer(socket)
        socket.send_json(update(**audio_input) | {"event_id": "mine"})
        error = answer(socket)["error"]
        assert error["param"] == f"session.audio.input.{param}"
        assert error["event_id"] == "mine"
        socket.send_json(update())
        assert answer(socket)["session"]["granite"]["ignored"] == []


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"granite": {"to": "Klingon"}}, "granite.to"),
        ({"input_audio_transcription": {"language": "x"}}, "input_audio_transcription.language"),
    ],
)
def test_a_language_that_is_wrong_is_named(
    model: GraniteSpeech, fields: dict[str, Any], param: str
) -> None:
    with client(model).websocket_connect("/v1/realtime") as socket:
        answer(socket)
        socket.send_json({"type": "session.update", "session": fields})
        assert answer(socket)["error"]["param"] == f"session.{param}"


def test_one_language_in_either_way(model: GraniteSpeech) -> None:
    with client(model).websocket_connect("/v1/realtime") as socket:
        answer(socket)
        for given, told in (
            ({"language": "English"}, "en"),
            ({"languages": []}, "en"),
            ({"languages": ["fr"]}, "fr"),
            ({"language": "", "languages": ["de"]}, "de"),
            ({"language": None}, None),
        ):
            socket.send_json(update(transcription=given))
            session = answer(socket)["session"]
            assert session["audio"]["input"]["transcription"]["language"] == told


NAMES = st.sampled_from(
    "type session audio input format rate transcription model language languages keywords prompt "
    "turn_detection silence_duration_ms granite to drafts include event_id".split()
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=4),
    max_leaves=12,
)
KINDS = st.sampled_from(
    "session.update input_audio_buffer.append input_audio_buffer.commit input_audio_buffer.clear "
    "transcription_session.update x".split()
)


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    messages=st.lists(
        st.one_of(
            st.text(max_size=30),
            st.binary(max_size=30),
            st.builds(
                lambda kind, rest: {**rest, "type": kind}, KINDS, st.dictionaries(NAMES, JSON)
            ),
            st.builds(append, st.binary(max_size=2000)),
        ),
        max_size=6,
    )
)
def test_whatever_is_sent_is_answered(model: GraniteSpeech, messages: list[Any]) -> None:
    with client(model).websocket_connect("/v1/realtime") as socket:
        for message in messages:
            if isinstance(message, bytes):
                socket.send_bytes(message)
            else:
                socket.send_text(message if isinstance(message, str) else json.dumps(message))
        socket.send_json({"type": "input_audio_buffer.clear"})
        until(socket, "input_audio_buffer.cleared")


# Limits


def closed(socket: Any) -> int:
    """The code with which the server closes."""
    with pytest.raises(WebSocketDisconnect) as found:
        until(socket, lambda message: False)
    return int(found.value.code)


def test_too_long_a_message_ends_the_session(model: GraniteSpeech) -> None:
    limits = RealtimeLimits(message_bytes=1000)
    with client(model, limits).websocket_connect("/v1/realtime") as socket:
        answer(socket)
        socket.send_json(append(bytes(2000)))
        assert answer(socket)["error"]["code"] == "message_too_long"
        assert closed(socket) == 1009


def test_whoever_says_nothing_is_sent_away(model: GraniteSpeech) -> None:
    limits = RealtimeLimits(idle_s=0.1)
    with client(model, limits).websocket_connect("/v1/realtime") as socket:
        answer(socket)
        assert answer(socket)["error"]["code"] == "idle_timeout"
        assert closed(socket) == 1001


def test_a_session_ends_with_its_last_text(model: GraniteSpeech, english: np.ndarray) -> None:
    limits = RealtimeLimits(session_s=1.5)
    with client(model, limits).websocket_connect("/v1/realtime") as socket:
        answer(socket)
        speak(socket, pcm(english))
        messages = until(socket, "error")
        assert messages[-1]["error"]["code"] == "session_expired"
        assert closed(socket) == 1001
    assert [one["transcript"] for one in messages if one["type"] == COMPLETED] == [ENGLISH]


def test_last_text_that_takes_long(
    model: GraniteSpeech, english: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is waited for where the session goes on, and told to be lost where it does not."""
    monkeypatch.setattr(realtime_session, "LAST_TEXT_S", 0.0)
    with client(model).websocket_connect("/v1/realtime") as socket:
        answer(socket)
        speak(socket, pcm(english))
        socket.send_json(update())
        messages = until(socket, "session.updated")
    assert [one["transcript"] for one in messages if one["type"] == COMPLETED] == [ENGLISH]
    limits = RealtimeLimits(idle_s=0.2)
    with client(model, limits).websocket_connect("/v1/realtime") as socket:
        answer(socket)
        socket.send_json(append(pcm(english)))
        codes = [until(socket, "error")[-1]["error"]["code"] for _ in range(2)]
    assert codes == ["text_lost", "idle_timeout"]


def test_no_more_sessions_than_there_may_be(model: GraniteSpeech) -> None:
    test_client = client(model, RealtimeLimits(n_sessions=1))
    with test_client.websocket_connect("/v1/realtime") as one:
        answer(one)
        with test_client.websocket_connect("/v1/realtime") as other:
            assert answer(other)["error"]["code"] == "too_many_sessions"
            assert closed(other) == 1013
    with test_client.websocket_connect("/v1/realtime") as again:
        assert answer(again)["type"] == "session.created"


def test_a_page_of_another_origin_is_refused(model: GraniteSpeech) -> None:
    test_client = client(model)
    for origin in (
        "https://evil.example",
        "null",
        "http://127.0.0.1:9999",
        "http://[::1",
        "chrome-extension://127.0.0.1:8000",
    ):
        headers = {"Origin": origin, "Host": "127.0.0.1:8000"}
        with (
            pytest.raises(WebSocketDisconnect),
            test_client.websocket_connect("/v1/realtime", headers=headers),
        ):
            pass
    ours = {"Origin": "http://127.0.0.1:8000", "Host": "127.0.0.1:8000"}
    with test_client.websocket_connect("/v1/realtime", headers=ours) as socket:
        assert answer(socket)["type"] == "session.created"


def test_an_unknown_model_is_refused(model: GraniteSpeech) -> None:
    with client(model).websocket_connect("/v1/realtime?model=llama") as socket:
        answer(socket)
        assert answer(socket)["error"]["code"] == "model_not_found"
        assert closed(socket) == 1008
    with client(model).websocket_connect("/v1/realtime?model=gpt-4o-transcribe") as socket:
        assert answer(socket)["type"] == "session.created"


def test_a_client_that_goes_leaves_nothing_behind(
    model: GraniteSpeech, english: np.ndarray
) -> None:
    with client(model).websocket_connect("/v1/realtime") as socket:
        answer(socket)
        speak(socket, pcm(np.concatenate([english] * 3)))
    for thread in threading.enumerate():
        if thread.name == "granite-mlx live":
            thread.join(30)
            assert not thread.is_alive()


def test_a_model_that_fails_is_told(english: np.ndarray) -> None:
    import granite_mlx

    model = granite_mlx.load("demo")
    with client(model).websocket_connect("/v1/realtime") as socket:
        answer(socket)
        model.close()
        speak(socket, pcm(english)[:9600])
        assert answer(socket)["error"]["code"] == "server_error"
        assert closed(socket) == 1011
