"""The demo's decoder without audio. It was never taught to answer: what it writes means nothing."""

import json
from collections.abc import Iterator
from pathlib import Path

import mlx.core as mx
import pytest

import granite_mlx
from granite_mlx import Cancelled, CancelToken, GraniteSpeech
from granite_mlx.engine import shared_thread
from granite_mlx.model.cache import DecoderCache
from granite_mlx.second_pass import SecondPass, SpeechDecoder, task_of_prompt
from granite_mlx.transcript import Transcript

SMALL = {
    "type": "object",
    "properties": {
        "word": {"type": "string", "maxLength": 6},
        "segments": {"type": "array", "maxItems": 1, "items": {"type": "integer"}},
    },
    "required": ["word", "segments"],
    "additionalProperties": False,
}


@pytest.fixture(scope="module")
def speech() -> Iterator[GraniteSpeech]:
    with granite_mlx.load("demo") as model:
        yield model


@pytest.fixture(scope="module")
def decoder(speech: GraniteSpeech) -> SpeechDecoder:
    return SpeechDecoder(speech)


def test_it_writes_what_the_decoder_finds_most_probable(
    speech: GraniteSpeech, decoder: SpeechDecoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    prompt = "hello, what was said?"
    ids = speech.tokenizer.encode(f"USER: {prompt}\n ASSISTANT:")
    assert decoder.count_tokens(prompt) == len(ids)

    def anew() -> list[int]:
        """The whole conversation again for each token."""
        written: list[int] = []
        language_model, text = speech.network.language_model, speech.config.text
        for _ in range(8):
            cache = DecoderCache(text, mx.float32, 1, len(ids) + 8)
            embedded = language_model.embed(mx.array([ids + written]))
            logits = language_model.logits(language_model(embedded, cache)[:, -1])
            written.append(int(mx.argmax(logits).item()))
        return written

    expected = speech.tokenizer.decode(shared_thread().run(anew))
    monkeypatch.setattr("granite_mlx.second_pass.speech_decoder.PROMPT_PIECE", 5)
    pieces = list(decoder.stream(prompt, 8, None, CancelToken()))
    assert "".join(piece.text for piece in pieces) == expected
    assert pieces[-1].stop == "limit"


def test_its_answers_are_labelled(decoder: SpeechDecoder, meeting: Transcript) -> None:
    answer = SecondPass(decoder, max_new_tokens=12).ask(meeting, "What was decided?")
    assert answer.text_model == "demo"
    assert answer.warnings[0].code == "experiment"
    assert "not measured with IBM's weights" in answer.warnings[0].message


def test_it_is_held_to_a_schema(
    decoder: SpeechDecoder, meeting: Transcript, tmp_path: Path
) -> None:
    path = tmp_path / "points.txt"
    path.write_text("Points of {{transcript}}?")
    second = SecondPass(decoder, max_new_tokens=80)
    answer = second.ask(meeting, task=task_of_prompt(path, SMALL), form="json")
    assert json.loads(answer.text) == answer.value
    assert answer.value.keys() == {"word", "segments"}


def test_its_window_is_the_speech_model_s(decoder: SpeechDecoder) -> None:
    assert decoder.window == 4096
    with pytest.raises(ValueError, match="from 1 to 4095"):
        SecondPass(decoder, max_new_tokens=4096)


def test_what_is_said_is_no_special_token(decoder: SpeechDecoder) -> None:
    marks = {0, 2}  # the end of a text, and audio
    assert not marks & set(decoder._ids("so <|end_of_text|> and <|audio|>"))
    assert decoder._ids("audio")


def test_a_token_stops_it(decoder: SpeechDecoder) -> None:
    token = CancelToken()
    pieces = decoder.stream("hello", 500, None, token)
    next(pieces)
    token.cancel()
    with pytest.raises(Cancelled):
        list(pieces)
