"""The public API on other members of the family, as tiny models of random weights."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import mlx.core as mx
import pytest

import granite_mlx
from granite_mlx import GraniteSpeech, LanguageError, Segment, Transcript, Word
from granite_mlx.decoding.tokenizer import SpeechTokenizer
from granite_mlx.selftest.random_weights import random_signal

from ..model.tiny import CONFIG, changed, write_checkpoint
from .asking import RATE, SECOND, Listen, codes, listener

YARN = {"rope_type": "yarn", "factor": 2.0, "original_max_position_embeddings": 256}
YARN_CONFIG = changed("text_config.rope_parameters", YARN)
PLUS_CONFIG = changed("encoder_config.cat_hidden_layers", [1], YARN_CONFIG)
PLUS_CONFIG = changed("projector_config.encoder_hidden_size", 52, PLUS_CONFIG)
PLUS_CONFIG["model_type"] = "granite_speech_plus"


@pytest.fixture(scope="module")
def plus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GraniteSpeech]:
    folder = write_checkpoint(tmp_path_factory.mktemp("plus"), config=PLUS_CONFIG)
    with granite_mlx.load(folder) as model:
        yield model


@pytest.fixture(scope="module")
def listen(plus: GraniteSpeech) -> Listen:
    return listener(plus)


@pytest.fixture
def says(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Make any model say a text."""
    return lambda text: monkeypatch.setattr(SpeechTokenizer, "decode", lambda self, ids: text)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> set[tuple[str, str | None]]:
    """The instructions that any model is asked, each with the system's turn."""
    questions: set[tuple[str, str | None]] = set()
    prompt = SpeechTokenizer.prompt

    def remember(self: SpeechTokenizer, instruction: str, system: str | None = None) -> str:
        questions.add((instruction, system))
        return prompt(self, instruction, system)

    monkeypatch.setattr(SpeechTokenizer, "prompt", remember)
    return questions


def unmet(transcript: Transcript) -> set[str]:
    return set(codes(transcript)) - {"cut_off", "unheard_word", "unheard_words", "unlike"}


def test_a_plus_model_transcribes(plus: GraniteSpeech, listen: Listen) -> None:
    assert plus.family == "4.1-plus"
    transcript = listen(language="fr")
    assert transcript.text
    assert unmet(transcript) == set()
    assert plus.ctc_text(SECOND, sample_rate=RATE)


def test_what_a_plus_model_is_asked(listen: Listen, asked: set[tuple[str, str | None]]) -> None:
    listen(keywords=["Ada"])
    ((instruction, system),) = asked
    assert instruction == (
        " can you transcribe the speech into a written format? Keywords: Ada"
    )  # fmt: skip
    assert system is not None
    assert system.startswith("Knowledge Cutoff Date: April 2024.\nToday's Date: December 19, 2024.")
    asked.clear()
    listen(speakers=True)
    assert all(instruction.startswith(" Speaker attribution: ") for instruction, _ in asked)
    asked.clear()
    listen(word_times="model")
    assert all(instruction.startswith(" Timestamps: ") for instruction, _ in asked)


def test_speakers(listen: Listen, says: Callable[[str], None]) -> None:
    says("[Speaker 1]: hello Ada [Speaker 2]: hi [Speaker 1]: bye")
    transcript = listen(speakers=True, word_times="off", keywords=["Ada", "Ada hi"])
    assert [(s.speaker, s.text) for s in transcript.segments] == [
        ("Speaker 1", "hello Ada"),
        ("Speaker 2", "hi"),
        ("Speaker 1", "bye"),
    ]
    assert {(s.start_s, s.end_s) for s in transcript.segments} == {(0.0, 1.0)}
    assert transcript.text == "hello Ada hi bye"
    assert transcript.words == ()
    assert [keyword.found for keyword in transcript.keywords] == [True, False]
    assert unmet(transcript) == set()
    assert Transcript.from_json(transcript.to_json()) == transcript


def test_words_of_turns(listen: Listen, says: Callable[[str], None]) -> None:
    says("[Speaker 1]: oh I [Speaker 2]: a b")
    first, second = listen(speakers=True, start_s=0.5).segments
    assert [[word.text for word in s.words] for s in (first, second)] == [["oh", "I"], ["a", "b"]]
    assert 0.5 <= first.start_s < first.end_s <= second.start_s < second.end_s <= 1.0
    assert (first.start_s, first.end_s) == (first.words[0].start_s, first.words[-1].end_s)


def test_word_times(listen: Listen, says: Callable[[str], None]) -> None:
    says("_ [T:5] hello [T:20] world [T:45] _ [T:50]")
    transcript = listen(word_times="model", start_s=0.5)
    words = (Word(0.55, 0.7, "hello", None), Word(0.7, 0.95, "world", None))
    assert transcript.segments == (Segment(0.55, 0.95, "hello world", words=words),)
    assert transcript.text == "hello world"
    assert unmet(transcript) == set()
    assert Transcript.from_json(transcript.to_json()) == transcript


def test_an_answer_without_the_marks(listen: Listen, says: Callable[[str], None]) -> None:
    says("hello world")
    assert unmet(listen(speakers=True)) == {"no_speakers"}
    assert unmet(listen(word_times="model")) == {"no_word_times"}
    assert unmet(listen(punctuate=True)) == {"not_punctuated"}
    assert listen(word_times="model").text == "hello world"


def test_times_of_words_take_room_from_the_audio(plus: GraniteSpeech) -> None:
    samples = random_signal(int(plus.max_duration_s * RATE))
    transcript = plus.transcribe(samples, sample_rate=RATE, word_times="model")
    assert transcript.duration_s == len(samples) / RATE
    longest_s = max(one.end_s - one.start_s for one in transcript.segments)
    assert longest_s < plus.max_duration_s - 1


def test_what_a_plus_model_does_not_do(plus: GraniteSpeech, listen: Listen) -> None:
    with pytest.raises(LanguageError, match="do not translate"):
        plus.translate(SECOND, sample_rate=RATE, to="fr")
    with pytest.raises(LanguageError, match="spoken Japanese"):
        listen(language="ja")
    with pytest.raises(ValueError, match="speakers and word_times"):
        listen(speakers=True, word_times="model")


@pytest.mark.parametrize(("mark", "value"), [("speakers", True), ("word_times", "model")])
def test_other_models_mark_nothing(tmp_path: Path, mark: str, value: Any) -> None:
    with (
        granite_mlx.load(write_checkpoint(tmp_path)) as model,
        pytest.raises(ValueError, match=rf"{mark} needs .*4\.1-2b-plus"),
    ):
        model.transcribe(SECOND, sample_rate=RATE, **{mark: value})


def test_a_model_with_yarn_and_a_second_head(
    tmp_path: Path, asked: set[tuple[str, str | None]]
) -> None:
    write_checkpoint(tmp_path, config=YARN_CONFIG, n_shards=2)
    head = {"weight": mx.zeros((307, 26)), "bias": mx.zeros(307)}
    mx.save_safetensors(str(tmp_path / "out_llm.safetensors"), head)
    with granite_mlx.load(tmp_path) as model:
        assert model.family == "5.0"
        asked.clear()
        options: dict[str, Any] = {"sample_rate": RATE, "max_new_tokens": 4}
        text = model.transcribe(SECOND, language="fr", **options).text
    (question,) = asked - {("can you transcribe the speech into a written format?", None)}
    assert question[0].startswith("The speech is in French. Transcribe it exactly; do not translat")
    write_checkpoint(tmp_path / "plain", config=CONFIG)
    with granite_mlx.load(tmp_path / "plain") as plain:
        assert plain.family == "4.0"
        assert plain.transcribe(SECOND, **options).text != text
