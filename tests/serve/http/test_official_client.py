"""The official Python client, unchanged, against the real server."""

import io
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import openai
import pytest
import soundfile

from .asking import Address

ENGLISH = "yesterday the neighbour found a small horse at home"


@pytest.fixture(scope="module")
def client(address: Address) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(api_key="any", base_url=f"{address.url}/v1") as client:
        yield client


@pytest.fixture(scope="module")
def recording(demo_checkpoint: Path) -> Path:
    return demo_checkpoint / "examples" / "english.flac"


def test_json(client: openai.OpenAI, recording: Path) -> None:
    found = client.audio.transcriptions.create(model="whisper-1", file=recording)
    assert found.text == ENGLISH
    assert found.usage is not None
    assert found.usage.type == "duration"
    assert found.usage.seconds == pytest.approx(3.1, abs=0.1)


@pytest.mark.parametrize("name", ["demo", "gpt-4o-transcribe", "gpt-4o-mini-transcribe"])
def test_names_of_the_model(client: openai.OpenAI, recording: Path, name: str) -> None:
    assert client.audio.transcriptions.create(model=name, file=recording).text == ENGLISH


def test_another_model_is_not_found(client: openai.OpenAI, recording: Path) -> None:
    with pytest.raises(openai.NotFoundError, match="'parakeet' is not loaded") as caught:
        client.audio.transcriptions.create(model="parakeet", file=recording)
    assert (caught.value.code, caught.value.param) == ("model_not_found", "model")


def test_text(client: openai.OpenAI, recording: Path) -> None:
    found = client.audio.transcriptions.create(
        model="whisper-1", file=recording, response_format="text"
    )
    assert found == f"{ENGLISH}\n"


def test_subtitles(client: openai.OpenAI, recording: Path) -> None:
    texts = {
        form: client.audio.transcriptions.create(
            model="whisper-1", file=recording, response_format=form
        )
        for form in ("srt", "vtt")
    }
    assert texts["srt"].startswith("1\n00:00:00,000 --> 00:00:03,")
    assert texts["vtt"].startswith("WEBVTT\n\n00:00:00.000 --> 00:00:03.")
    assert all(" ".join(text.split()).endswith(ENGLISH) for text in texts.values())


def test_verbose_json_with_words(client: openai.OpenAI, recording: Path) -> None:
    found = client.audio.transcriptions.create(
        model="whisper-1",
        file=recording,
        language="en",
        response_format="verbose_json",
        timestamp_granularities=["word", "segment"],
    )
    assert (found.text, found.language) == (ENGLISH, "english")
    assert found.duration == pytest.approx(3.1, abs=0.1)
    assert [word.word for word in found.words] == ENGLISH.split()
    ends = [0.0, *(time for word in found.words for time in (word.start, word.end))]
    assert ends == sorted(ends)
    (segment,) = found.segments
    assert (segment.id, segment.text) == (0, ENGLISH)
    assert segment.avg_logprob > -0.1


def test_granularity(client: openai.OpenAI, recording: Path) -> None:
    found = client.audio.transcriptions.create(
        model="whisper-1",
        file=recording,
        response_format="verbose_json",
        timestamp_granularities=["word"],
    )
    assert found.segments is None
    assert len(found.words) == len(ENGLISH.split())


def test_logprobs(client: openai.OpenAI, recording: Path) -> None:
    found = client.audio.transcriptions.create(
        model="whisper-1", file=recording, include=["logprobs"]
    )
    assert found.logprobs is not None
    assert "".join(one.token for one in found.logprobs) == ENGLISH
    assert all(list(one.token.encode()) == one.bytes for one in found.logprobs)
    assert all(-1 < one.logprob <= 0 for one in found.logprobs)


def test_stream(client: openai.OpenAI, demo_checkpoint: Path, two_sentences: bytes) -> None:
    events = list(
        client.audio.transcriptions.create(
            model="whisper-1", file=two_sentences, stream=True, include=["logprobs"]
        )
    )
    kinds = [event.type for event in events]
    assert kinds == ["transcript.text.delta"] * (len(events) - 1) + ["transcript.text.done"]
    assert len(kinds) > 2
    text = events[-1].text
    assert text.startswith(ENGLISH)
    assert "".join(event.delta for event in events[:-1]) == text
    of_deltas = [one.token for event in events[:-1] for one in event.logprobs]
    assert of_deltas == [one.token for one in events[-1].logprobs]
    assert "".join(of_deltas) == text


@pytest.fixture(scope="module")
def two_sentences(demo_checkpoint: Path) -> bytes:
    """With a pause of three seconds between them."""
    parts = []
    for name in ("english", "digits"):
        samples, rate = soundfile.read(demo_checkpoint / "examples" / f"{name}.flac")
        parts += [samples, np.zeros(3 * rate)]
    file = io.BytesIO()
    soundfile.write(file, np.concatenate(parts), 16_000, format="WAV")
    return file.getvalue()


@pytest.mark.filterwarnings("ignore:deprecated:DeprecationWarning")  # by OpenAI, not by apps
def test_translation(client: openai.OpenAI, demo_checkpoint: Path) -> None:
    french = demo_checkpoint / "examples" / "french.flac"
    found = client.audio.translations.create(model="whisper-1", file=french)
    assert found.text == "at eleven o'clock there are twenty nine knives on the beach"
    verbose = client.audio.translations.create(
        model="whisper-1", file=french, response_format="verbose_json"
    )
    assert (verbose.text, verbose.language) == (found.text, "english")


def test_keywords(client: openai.OpenAI, recording: Path) -> None:
    """As a list, and as a prompt that is one."""
    asked = [{"keywords": ["Zoé", "horse"]}, {"prompt": "Zoé, horse"}]
    for options in asked:
        found = client.audio.transcriptions.create(
            model="whisper-1", file=recording, response_format="verbose_json", **options
        )
        assert found.text == ENGLISH
        assert found.granite["keywords"] == [
            {"term": "Zoé", "offered": True, "found": False},
            {"term": "horse", "offered": True, "found": True},
        ]


def test_a_prompt_that_is_no_list_is_refused(client: openai.OpenAI, recording: Path) -> None:
    with pytest.raises(openai.BadRequestError, match="list of keywords with commas") as caught:
        client.audio.transcriptions.create(
            model="whisper-1", file=recording, prompt="This is a talk about animals in the city."
        )
    assert caught.value.param == "prompt"


def test_a_field_that_is_not_supported_is_named(client: openai.OpenAI, recording: Path) -> None:
    with pytest.raises(openai.BadRequestError, match="known_speaker_names") as caught:
        client.audio.transcriptions.create(
            model="whisper-1", file=recording, known_speaker_names=["agent"]
        )
    assert caught.value.code == "unsupported_parameter"


def test_models(client: openai.OpenAI) -> None:
    (model,) = client.models.list()
    assert (model.id, model.object) == ("demo", "model")
    assert client.models.retrieve("demo").id == client.models.retrieve("whisper-1").id == "demo"
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("another")
