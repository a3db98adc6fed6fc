"""What is in an answer beyond what OpenAI's clients look at, whole and as events."""

import asyncio
import io
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from granite_mlx import GraniteSpeech, Segment, Transcript
from granite_mlx.serve.errors import ClientGone
from granite_mlx.serve.events import events as as_events
from granite_mlx.serve.fields import read_transcription

from .asking import TRANSLATIONS, Address, Answer, silence, written

ENGLISH = "yesterday the neighbour found a small horse at home"
VERBOSE = ("response_format", "verbose_json")
WORDS = ("timestamp_granularities[]", "word")
SEGMENTS = ("timestamp_granularities[]", "segment")
STREAMED = ("stream", "true")


def events(answer: Answer) -> list[dict[str, Any]]:
    """Each is told twice what it is."""
    assert answer.status == 200
    assert answer.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert answer.headers["cache-control"] == "no-store"
    found = []
    for block in answer.text.removesuffix("\n\n").split("\n\n"):
        kind, data = block.split("\n")
        found.append(json.loads(data.removeprefix("data: ")))
        assert kind == f"event: {found[-1]['type']}"
    return found


@pytest.fixture(scope="module")
def samples(demo_checkpoint: Path) -> np.ndarray:
    """A sentence, a pause of two seconds, six digits."""
    english, digits = (
        soundfile.read(demo_checkpoint / "examples" / f"{name}.flac", dtype="int16")[0]
        for name in ("english", "digits")
    )
    return np.concatenate([english, np.zeros(32_000, np.int16), digits])


def test_it_is_what_the_model_says(
    address: Address, model: GraniteSpeech, samples: np.ndarray
) -> None:
    recording = written(samples)
    told = address.post(recording, VERBOSE, WORDS, SEGMENTS, ("keywords[]", "Zoé")).json
    said = model.transcribe(recording, keywords=["Zoé"])
    assert told["text"] == said.text
    assert told["task"] == "transcribe"
    assert told["language"] == "unknown"
    assert [(one["text"], one["confidence"]) for one in told["segments"]] == [
        (one.text, one.confidence) for one in said.segments
    ]
    assert [one["id"] for one in told["segments"]] == [*range(len(said.segments))]
    assert [(one["word"], one["confidence"]) for one in told["words"]] == [
        (one.text, one.confidence) for one in said.words
    ]
    times = [(one.start_s, one.end_s) for one in said.words]
    assert np.allclose([(one["start"], one["end"]) for one in told["words"]], times, atol=0.001)
    assert told["granite"] == {
        "warnings": [],
        "keywords": [{"term": "Zoé", "offered": True, "found": False}],
    }


@pytest.mark.parametrize("is_translated", [False, True])
def test_segments_as_events(address: Address, samples: np.ndarray, is_translated: bool) -> None:
    """What the page asks for: together they are what a whole answer has."""
    fields = [VERBOSE, WORDS, SEGMENTS]
    options: dict[str, Any] = {"path": TRANSLATIONS} if is_translated else {}
    if is_translated:
        fields.append(("to", "fr"))
    recording = written(samples)
    *told, done = events(address.post(recording, *fields, STREAMED, **options))
    whole = address.post(recording, *fields, **options).json
    assert done.pop("type") == "transcript.text.done"
    assert done == whole
    assert len(told) >= 2
    assert all(one.pop("type") == "transcript.text.segment" for one in told)
    words = [word for one in told for word in one.pop("words")]
    assert told == whole["segments"]
    assert words == whole["words"]
    assert bool(words) != is_translated


def test_what_is_not_known_is_null(address: Address, english: bytes) -> None:
    told = address.post(english, VERBOSE, ("to", "fr"), path=TRANSLATIONS).json
    assert told["text"] == "hier le voisin a trouvé un petit cheval à la maison"
    assert (told["task"], told["language"]) == ("translate", "french")
    (segment,) = told["segments"]
    assert segment["avg_logprob"] is segment["confidence"] is segment["speaker"] is None
    assert "usage" not in told


def test_damage_is_told_beside_what_was_heard(address: Address, samples: np.ndarray) -> None:
    recording = written(samples, form="WAV")[: -2 * 16_000]
    whole = address.post(recording)
    assert whole.status == 200
    assert whole.json["text"].startswith(ENGLISH)
    assert [one["code"] for one in whole.json["granite"]["warnings"]] == ["damaged"]
    *_, done = events(address.post(recording, VERBOSE, STREAMED))
    assert done["text"] == whole.json["text"]
    assert done["granite"]["warnings"] == whole.json["granite"]["warnings"]


def test_channels(address: Address, english: bytes) -> None:
    samples, rate = soundfile.read(io.BytesIO(english), dtype="int16")
    both = np.stack([samples, np.zeros_like(samples)], axis=1)
    told = address.post(written(both, rate), VERBOSE, ("channels", "separate")).json
    assert {one["speaker"] for one in told["segments"]} == {"channel 1"}
    assert told["text"] == ENGLISH


def test_a_part(address: Address, samples: np.ndarray) -> None:
    told = address.post(written(samples), VERBOSE, WORDS, ("end", "3.5")).json
    assert told["text"] == ENGLISH
    told = address.post(written(samples), VERBOSE, WORDS, ("start", "4")).json
    assert told["words"][0]["start"] > 4.5
    assert ENGLISH not in told["text"]


@pytest.mark.parametrize("form", ["json", "text", "srt", "vtt", "verbose_json"])
def test_silence(address: Address, form: str) -> None:
    answer = address.post(silence(1.0), ("response_format", form))
    assert answer.status == 200
    assert answer.headers["content-type"].split(";")[0] == {
        "json": "application/json", "verbose_json": "application/json", "vtt": "text/vtt",
    }.get(form, "text/plain")  # fmt: skip
    if form.endswith("json"):
        assert answer.json["text"] == ""
        assert [one["code"] for one in answer.json["granite"]["warnings"]] == ["silence"]


def test_events_of_silence(address: Address) -> None:
    (done,) = events(address.post(silence(1.0), STREAMED))
    usage = {"type": "duration", "seconds": 1.0}
    assert done == {"type": "transcript.text.done", "text": "", "usage": usage}


def test_the_last_event_has_the_usage_of_a_whole_answer(
    address: Address, samples: np.ndarray
) -> None:
    recording = written(samples)
    *_, done = events(address.post(recording, STREAMED))
    assert done["usage"] == address.post(recording).json["usage"]
    *_, done = events(address.post(recording, STREAMED, ("to", "fr"), path=TRANSLATIONS))
    assert "usage" not in done


def test_a_client_that_leaves_a_stream_is_no_bug(caplog: pytest.LogCaptureFixture) -> None:
    """Nothing is logged, nothing more is told, and the request ends as one whose client went."""

    async def parts() -> AsyncIterator[Segment | Transcript]:
        yield Segment(0.0, 1.0, "hello")
        raise ClientGone

    told = []

    async def tell() -> None:
        asked = read_transcription([("stream", "true")], lambda name: True)
        async for event in as_events(parts(), asked):
            told.append(event)

    with pytest.raises(ClientGone):
        asyncio.run(tell())
    assert len(told) == 1
    assert caplog.records == []


def test_what_cannot_be_streamed_is_refused_by_its_status(address: Address) -> None:
    """Before the first event there is still time for one."""
    answer = address.post(b"no recording", STREAMED)
    assert (answer.status, answer.error["code"]) == (400, "invalid_audio")
