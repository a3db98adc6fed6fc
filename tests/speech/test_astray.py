"""Lists that lead the demo's decoder astray, and words that a script lets it leave out."""

from collections.abc import Iterator
from pathlib import Path

import pytest

import granite_mlx
from granite_mlx import GraniteSpeech

from .asking import codes
from .scripted import follow, start_of

WAYS = ("exact", "off", "relaxed")
ODD = [
    ["a" * 100],
    ["é" * 60],
    ["Санкт"],
    ["東京"],
    ["😀"],
    ["42"],
    list("abcdefghij"),
    list("abcdefghijklmnopqrstuvwxyz"),
]


@pytest.fixture(scope="module")
def model() -> Iterator[GraniteSpeech]:
    with granite_mlx.load("demo", dtype="float32") as model:
        yield model


@pytest.fixture(scope="module")
def example(demo_checkpoint: Path) -> Path:
    return demo_checkpoint / "examples" / "english_name.flac"


@pytest.mark.parametrize("keywords", ODD, ids=lambda terms: f"{len(terms)} {terms[0][:2]}")
@pytest.mark.parametrize("boost", [0, 5])
def test_a_list_takes_no_word_away(
    model: GraniteSpeech, example: Path, keywords: list[str], boost: float
) -> None:
    plain = model.transcribe(example)
    assert codes(plain) == []
    listed = model.transcribe(example, keywords=keywords, keyword_boost=boost)
    assert listed.text.lower() == plain.text.lower()
    assert set(codes(listed)) <= {"without_keywords", "keywords_not_searched"}


@pytest.mark.parametrize("way", WAYS)
def test_the_terms_that_were_heard_stay_in_the_second_try(
    model: GraniteSpeech, example: Path, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    monkeypatch.setattr("granite_mlx.ctc.hearing.HIGHEST_ENTROPY", 0.0)
    wanted = model.transcribe(example, keywords=["Erik"], speculative="off").text
    assert "Erik" in wanted
    # The first answer has the term, and ends behind it.
    *_, opens = model.tokenizer.encode(" opens")
    end = model.config.text.eos_token_id
    follow(monkeypatch)({opens: end}, n_prompts=1)
    found = model.transcribe(example, keywords=["Erik", "Zoë"], speculative=way)
    assert (found.text, codes(found)) == (wanted, ["without_keywords"])
    erik, zoe = found.keywords
    assert (erik.found, erik.offered, zoe.found, zoe.offered) == (True, True, False, True)


def test_without_the_guard_it_is_asked_once(
    model: GraniteSpeech, example: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = follow(monkeypatch)({}, n_prompts=9)
    model.transcribe(example, keywords=["東京"], guard="off")
    assert script.n_read == 1


@pytest.mark.parametrize("way", ["exact", "off"])
def test_what_the_decoder_leaves_out_is_put_in(
    model: GraniteSpeech, example: Path, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    plain = model.transcribe(example)
    assert plain.text.endswith("a big window in october")
    (window,) = model.tokenizer.encode(" window")
    follow(monkeypatch)({window: model.config.text.eos_token_id}, n_prompts=9)
    found = model.transcribe(example, speculative=way)
    assert (found.text, codes(found)) == (plain.text, ["left_out_words"])
    for word, wanted in zip(found.words, plain.words, strict=True):
        assert word.start_s == pytest.approx(wanted.start_s, abs=0.05)
        assert word.confidence is not None
    left_out = model.transcribe(example, speculative=way, guard="off")
    assert left_out.text == plain.text.removesuffix(" in october")


def test_nothing_is_put_in_behind_the_most_tokens(model: GraniteSpeech, example: Path) -> None:
    short = model.transcribe(example, max_new_tokens=3)
    plain = model.transcribe(example, max_new_tokens=3, guard="off")
    assert short.text == plain.text
    assert codes(short) == codes(plain) == ["cut_off"]


def test_a_text_that_is_empty_though_much_was_heard_is_named(
    model: GraniteSpeech, example: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    follow(monkeypatch)({start_of(model): model.config.text.eos_token_id}, n_prompts=9)
    found = model.transcribe(example)
    assert (found.text, codes(found)[0]) == ("", "left_out_word")
    assert "a big window in october" in found.warnings[0].message


def test_a_translation_is_not_judged(
    model: GraniteSpeech, example: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = model.translate(example, to="fr")
    script = follow(monkeypatch)({}, n_prompts=9)
    assert model.translate(example, to="fr").text == plain.text
    assert script.n_read == 1
