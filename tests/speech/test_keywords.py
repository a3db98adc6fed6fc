"""Long lists of keywords: what each segment is asked, and what is told of each term."""

from typing import Any

import numpy as np
import pytest

from granite_mlx import GraniteSpeech, Range
from granite_mlx.decoding.prompts import Task
from granite_mlx.decoding.tokenizer import SpeechTokenizer
from granite_mlx.selftest.random_weights import random_signal
from granite_mlx.transcript import Segment
from granite_mlx.writing import before_witness

from .asking import RATE, SECOND, Listen, codes

TERMS = [f"{a}{b}" for a in "bdfgklmnprstvz" for b in ("ada", "eno", "iru")]
SIGNALS = [random_signal(n) for n in (16_000, 9_000, 40_000)]


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The instructions that the decoder is asked, in order."""
    instructions: list[str] = []
    prompt = SpeechTokenizer.prompt

    def remember(self: SpeechTokenizer, instruction: str, system: str | None = None) -> str:
        instructions.append(instruction)
        return prompt(self, instruction, system)

    monkeypatch.setattr(SpeechTokenizer, "prompt", remember)
    return instructions


@pytest.fixture
def heard(monkeypatch: pytest.MonkeyPatch) -> None:
    """The random encoder hears a sentence that depends on the length of the recording."""

    def readings(logits: np.ndarray) -> list[str]:
        return ["bada met keno"] if len(logits) < 60 else ["tiru and rada are here"]

    monkeypatch.setattr("granite_mlx.biasing.choice.readings_of", readings)


@pytest.fixture
def few(model: GraniteSpeech, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model, "keywords_per_prompt", 4)


def has_term(text: str) -> bool:
    return any(term in text for term in TERMS)


@pytest.mark.usefixtures("few", "heard")
def test_the_encoder_chooses_from_a_long_list(listen: Listen, asked: list[str]) -> None:
    transcript = listen(keywords=TERMS)
    instruction = asked[-1]
    assert "Keywords: " in instruction
    listed = instruction.partition("Keywords: ")[2].split(", ")
    assert {"bada", "keno"} <= set(listed)
    assert len(listed) <= 4
    assert listed == sorted(listed, key=TERMS.index)
    assert [report.term for report in transcript.keywords] == TERMS
    assert {report.term for report in transcript.keywords if report.offered} == set(listed)


@pytest.mark.usefixtures("few", "heard")
def test_a_list_that_fits_is_sent_whole(listen: Listen, asked: list[str]) -> None:
    transcript = listen(keywords=TERMS[-4:])
    assert asked[-1].endswith(f"Keywords: {', '.join(TERMS[-4:])}")
    assert all(report.offered for report in transcript.keywords)


@pytest.mark.usefixtures("few")
def test_nothing_chosen_is_a_plain_question(
    listen: Listen, asked: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("granite_mlx.biasing.choice.readings_of", lambda _: ["ho"])
    transcript = listen(keywords=TERMS)
    assert asked[-1] == "can you transcribe the speech into a written format?"
    assert not any(report.offered for report in transcript.keywords)


@pytest.mark.usefixtures("few", "heard")
@pytest.mark.parametrize("speculative", ["exact", "relaxed", "off"])
def test_batches_give_what_each_gets_alone(model: GraniteSpeech, speculative: Any) -> None:
    options: dict[str, Any] = {
        "sample_rate": RATE, "keywords": TERMS, "max_new_tokens": 9, "speculative": speculative,
    }  # fmt: skip
    alone = [model.transcribe(one, **options) for one in SIGNALS]
    assert model.transcribe_batch(SIGNALS, **options) == alone
    offered = [{k.term for k in one.keywords if k.offered} for one in alone]
    assert offered[0] == offered[1] != offered[2]
    assert "tiru" in offered[2]


@pytest.mark.usefixtures("few", "heard")
def test_translations_streams_and_ranges(model: GraniteSpeech, asked: list[str]) -> None:
    options: dict[str, Any] = {"sample_rate": RATE, "max_new_tokens": 3}
    model.translate(SECOND, to="fr", keywords=TERMS, **options)
    assert asked[-1].startswith("translate the speech to French. Keywords: ")
    assert "bada" in asked[-1]
    list(model.stream(SECOND, keywords=TERMS, **options))
    assert "bada" in asked[-1]
    transcript = model.transcribe(
        SECOND, ranges=[Range(0.0, keywords=[*TERMS, ("Zoë", ["bada met"])])], **options
    )
    assert "Zoë" in asked[-1]
    assert transcript.keywords[-1].term == "Zoë"
    assert transcript.keywords[-1].offered


@pytest.mark.usefixtures("few", "heard")
def test_a_long_list_takes_no_more_of_the_context_than_a_prompt_of_it(
    model: GraniteSpeech,
) -> None:
    many = [f"{a} {b} {c}" for a in TERMS for b in TERMS for c in TERMS[:30]]
    assert len(many) > 50_000
    model.transcribe(SECOND, sample_rate=RATE, keywords=many, max_new_tokens=1)


@pytest.mark.usefixtures("few", "heard")
def test_terms_that_cannot_be_looked_for_are_named_once(listen: Listen) -> None:
    transcript = listen(keywords=[*TERMS, "東京", "42"])
    assert codes(transcript).count("keywords_not_searched") == 1
    assert "keywords_not_searched" not in codes(listen(keywords=["東京"]))


@pytest.mark.usefixtures("few")
def test_silence_is_offered_nothing(listen: Listen) -> None:
    transcript = listen(np.zeros(RATE, np.float32), keywords=TERMS)
    assert len(transcript.keywords) == len(TERMS)
    assert not any(report.offered for report in transcript.keywords)


@pytest.mark.usefixtures("few", "heard")
@pytest.mark.parametrize("n_terms", [3, 5])
def test_a_boost_changes_nothing_between_drafts_and_batches(
    model: GraniteSpeech, n_terms: int
) -> None:
    options: dict[str, Any] = {
        "sample_rate": RATE, "keywords": TERMS[:n_terms], "max_new_tokens": 12, "guard": "off",
        "keyword_boost": 20.0,
    }  # fmt: skip
    plain = [model.transcribe(one, **options, speculative="off") for one in SIGNALS]
    unboosted = [model.transcribe(one, **options | {"keyword_boost": 0.0}) for one in SIGNALS]
    assert plain != unboosted
    assert has_term(plain[0].text)
    assert [model.transcribe(one, **options) for one in SIGNALS] == plain
    assert model.transcribe_batch(SIGNALS, **options) == plain
    (segment,) = model.stream(SIGNALS[0], **options)
    assert segment.text == plain[0].text


def test_a_boosted_term_that_nobody_says_is_not_left_standing() -> None:
    written = (Segment(0.0, 1.0, "ask Reykjavik now"),)
    heard = [ord(letter) for letter in "ask sarah now"]
    kept = before_witness(written, heard, Task(), boosted=("Reykjavik",))
    assert kept is not None
    assert "Reykjavik" not in kept.text
    assert "sarah" in kept.text
    assert [concern.code for concern in kept.concerns] == ["echoed_keyword"]


@pytest.mark.usefixtures("few", "heard")
def test_a_translation_may_be_boosted(model: GraniteSpeech) -> None:
    options: dict[str, Any] = {"sample_rate": RATE, "max_new_tokens": 12, "keywords": TERMS}
    assert has_term(model.translate(SECOND, to="fr", **options, keyword_boost=20.0).text)
