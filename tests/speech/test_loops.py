"""Loops, inventions and echoes that a script puts into real decoding by the demo checkpoint."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

import granite_mlx
from granite_mlx import GraniteSpeech, Transcript

from .asking import codes
from .scripted import Follow, follow, in_turn, loop, start_of

AS_USUAL = {"exact": {}, "off": {"speculative": "off"}, "relaxed": {"speculative": "relaxed"}}
WORD, PHRASE = " cat", " one cat for you"
"""Nobody says them, and none of their tokens is in a recording."""


@pytest.fixture(scope="module")
def model() -> Iterator[GraniteSpeech]:
    with granite_mlx.load("demo", dtype="float32") as model:
        yield model


@pytest.fixture(scope="module")
def examples(demo_checkpoint: Path) -> dict[str, Path]:
    return {path.stem: path for path in demo_checkpoint.glob("examples/*.flac")}


@pytest.fixture(scope="module")
def said(examples: dict[str, Path]) -> dict[str, str]:
    return {name: path.with_suffix(".txt").read_text().strip() for name, path in examples.items()}


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> Follow:
    # The head is sure of clean recordings, which a relaxed answer then leaves to it.
    monkeypatch.setattr("granite_mlx.ctc.hearing.HIGHEST_ENTROPY", 0.0)
    return follow(monkeypatch)


def place(model: GraniteSpeech, text: str, where: str) -> int:
    """The token of a text behind which something is put in."""
    ids = model.tokenizer.encode(" " + text)
    return {"start": start_of(model), "middle": ids[len(ids) // 2], "end": ids[-1]}[where]


@pytest.mark.parametrize("way", AS_USUAL)
@pytest.mark.parametrize("where", ["start", "middle", "end"])
@pytest.mark.parametrize("phrase", [WORD, PHRASE])
def test_a_loop_is_stopped_and_the_next_try_stands(
    model: GraniteSpeech,
    examples: dict[str, Path],
    said: dict[str, str],
    script: Follow,
    way: str,
    where: str,
    phrase: str,
) -> None:
    ids = model.tokenizer.encode(phrase)
    plain = model.transcribe(examples["english"], speculative="off")
    found = script(loop(place(model, said["english"], where), ids))
    transcript = model.transcribe(examples["english"], **AS_USUAL[way])
    assert transcript.text == said["english"]
    assert transcript.segments == plain.segments  # the same confidence, too
    # Without drafts to leave out, the next try is a sampled one, which the reader is told.
    assert codes(transcript) == (["loop_sampled"] if way == "off" else [])
    assert found.n_read == 2
    n_text = len(model.tokenizer.encode(said["english"]))
    assert found.n_fed <= 3 * n_text + max(24, 4 * len(ids)) + 32  # far from the budget, twice


@pytest.mark.parametrize("way", AS_USUAL)
def test_tries_that_loop_end_with_what_the_head_has_heard(
    model: GraniteSpeech,
    examples: dict[str, Path],
    said: dict[str, str],
    script: Follow,
    way: str,
) -> None:
    behind = place(model, said["english"], "middle")
    n_tries = 2 if way == "off" else 3
    found = script(loop(behind, model.tokenizer.encode(PHRASE)), n_prompts=n_tries)
    transcript = model.transcribe(examples["english"], **AS_USUAL[way])
    assert transcript.text == model.ctc_text(examples["english"])
    assert codes(transcript) == ["loop_heard"]
    assert found.n_read == n_tries
    assert [word.text for word in transcript.words] == transcript.text.split()


def test_the_sampled_try_is_the_last_but_one(
    model: GraniteSpeech, examples: dict[str, Path], said: dict[str, str], script: Follow
) -> None:
    behind = place(model, said["english"], "middle")
    texts = []
    for _ in range(2):
        script(loop(behind, model.tokenizer.encode(WORD)), n_prompts=2)
        transcript = model.transcribe(examples["english"])
        assert codes(transcript) == ["loop_sampled"]
        texts.append(transcript.text)
    assert texts == [said["english"]] * 2


def test_a_word_that_was_said_and_goes_on(
    model: GraniteSpeech, examples: dict[str, Path], said: dict[str, str], script: Follow
) -> None:
    (six,) = model.tokenizer.encode(" six")
    script({six: six})
    transcript = model.transcribe(examples["digits"])
    assert (transcript.text, codes(transcript)) == (said["digits"], [])


@pytest.mark.slow
@pytest.mark.parametrize("way", AS_USUAL)
@pytest.mark.parametrize("n_prompts", [1, 9])
def test_one_row_of_a_batch(
    model: GraniteSpeech,
    examples: dict[str, Path],
    said: dict[str, str],
    script: Follow,
    way: str,
    n_prompts: int,
) -> None:
    names = sorted(examples)
    (horse, *_) = model.tokenizer.encode(" horse")  # in one recording alone
    script(loop(horse, model.tokenizer.encode(PHRASE)), n_prompts)
    for batch_size in (2, 8) if n_prompts > 1 else (8,):
        results = model.transcribe_batch(
            [examples[name] for name in names], batch_size=batch_size, **AS_USUAL[way]
        )
        found = dict(zip(names, results, strict=True))
        for name, one in found.items():
            assert isinstance(one, Transcript)
            if name != "english" or n_prompts == 1:
                assert one.text == said[name]
        english: Any = found["english"]
        wanted = ["loop_heard"] if n_prompts > 1 else ["loop_sampled"] if way == "off" else []
        assert codes(english) == wanted
        assert not any(codes(one) for name, one in found.items() if name != "english")


def test_a_budget_that_a_loop_uses_up(
    model: GraniteSpeech, examples: dict[str, Path], said: dict[str, str], script: Follow
) -> None:
    """A phrase that is too long to be there four times."""
    ids = model.tokenizer.encode(" one small horse for you on Catherine cat")
    found = script(loop(place(model, said["digits"], "end"), ids))
    transcript = model.transcribe(examples["digits"], max_new_tokens=6 + 3 * len(ids) + 2)
    assert (transcript.text, codes(transcript)) == (said["digits"], [])
    assert found.n_read == 2


def test_a_translation_ends_where_it_loops(
    model: GraniteSpeech, examples: dict[str, Path], script: Follow
) -> None:
    plain = model.translate(examples["english"], to="fr")
    ids = model.tokenizer.encode(" " + plain.text)
    behind = ids[len(ids) // 2]
    kept = model.tokenizer.decode(ids[: ids.index(behind) + 1]).strip()
    script(loop(behind, model.tokenizer.encode(" lune")), n_prompts=9)
    transcript = model.translate(examples["english"], to="fr")
    assert transcript.text == f"{kept} lune"
    assert codes(transcript) == ["loop_cut_off"]
    script(loop(behind, model.tokenizer.encode(" lune")), n_prompts=1)
    transcript = model.translate(examples["english"], to="fr")
    assert (transcript.text, codes(transcript)) == (plain.text, ["loop_sampled"])


def test_what_is_said_so_often_stays(
    model: GraniteSpeech,
    examples: dict[str, Path],
    script: Follow,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The same word thirty times, by one voice: the head hears it, and nothing is asked again."""
    # Smaller pieces are no answer to a loop: test_rereading.py.
    monkeypatch.setattr("granite_mlx.listening.is_doubtful", lambda _: False)
    samples, rate = soundfile.read(examples["digits"], dtype="float32")
    words = model.transcribe(samples, sample_rate=rate).words
    word = next(one for one in words if one.text == "six")
    take = samples[int((word.start_s - 0.06) * rate) : int((word.end_s + 0.06) * rate)]
    found = script({})
    transcript = model.transcribe(np.tile(take, 30), sample_rate=rate)
    assert found.n_read == 1
    assert not set(codes(transcript)) & {"loop_heard", "loop_sampled", "loop_cut_off"}


def test_without_the_guard_it_loops(
    model: GraniteSpeech, examples: dict[str, Path], said: dict[str, str], script: Follow
) -> None:
    found = script(loop(place(model, said["english"], "end"), model.tokenizer.encode(WORD)), 2)
    transcript = model.transcribe(examples["english"], guard="off", max_new_tokens=60)
    assert transcript.text.startswith(f"{said['english']}{WORD * 10}")
    assert codes(transcript) == ["cut_off"]
    assert found.n_read == 1
    (batched,) = model.transcribe_batch([examples["english"]], guard="off", max_new_tokens=60)
    assert batched == transcript
    transcript = model.translate(examples["english"], to="fr", guard="off")
    assert codes(transcript) == []


# What else a decoder makes up


@pytest.mark.parametrize("way", AS_USUAL)
@pytest.mark.parametrize("where", ["start", "middle", "end"])
def test_an_invention_is_left_out(
    model: GraniteSpeech,
    examples: dict[str, Path],
    said: dict[str, str],
    script: Follow,
    way: str,
    where: str,
) -> None:
    text = said["english"]
    ids = [start_of(model), *model.tokenizer.encode(" " + text), model.config.text.eos_token_id]
    behind = ids.index(place(model, text, where)) + 1
    invented = model.tokenizer.encode(" thank you for watching")
    script(in_turn([*ids[:behind], *invented, *ids[behind:]]), n_prompts=2)
    transcript = model.transcribe(examples["english"], **AS_USUAL[way])
    assert transcript.text == text
    assert codes(transcript) == ["unheard_words"]
    unguarded = model.transcribe(examples["english"], guard="off", **AS_USUAL[way])
    assert "thank you for watching" in unguarded.text


def test_an_echo_of_the_keywords_is_left_out(
    model: GraniteSpeech, examples: dict[str, Path], said: dict[str, str], script: Follow
) -> None:
    keywords = ["Catherine", "Eric"]
    end = model.config.text.eos_token_id
    behind = place(model, said["english"], "end")
    for echo in (" Eric", " Catherine Eric"):
        script(in_turn([behind, *model.tokenizer.encode(echo), end]))
        transcript = model.transcribe(examples["english"], keywords=keywords)
        assert (transcript.text, codes(transcript)) == (said["english"], ["unheard_words"])
