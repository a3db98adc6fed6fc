"""How long a recording and its text may be."""

import gc
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import granite_mlx
from granite_mlx import AudioError, AudioTooLongError, GraniteSpeech
from granite_mlx.selftest.random_weights import random_signal

from ..model.tiny import changed, write_checkpoint
from .asking import RATE, SECOND, Listen, codes


def test_a_recording_of_the_longest_duration(model: GraniteSpeech) -> None:
    n_samples = int(model.max_duration_s * RATE)
    assert 15 * RATE < n_samples < 30 * RATE
    transcript = model.transcribe(random_signal(n_samples), sample_rate=RATE)
    assert transcript.duration_s == n_samples / RATE


def test_what_is_longer_comes_in_segments_that_fit(model: GraniteSpeech) -> None:
    samples = random_signal(int((3 * model.max_duration_s + 1) * RATE))
    transcript = model.transcribe(samples, sample_rate=RATE, max_new_tokens=3)
    assert transcript.duration_s == len(samples) / RATE
    assert len(transcript.segments) > 3
    longest_s = max(one.end_s - one.start_s for one in transcript.segments)
    assert longest_s <= model.max_duration_s + 0.01


def test_too_long_for_the_character_head(model: GraniteSpeech) -> None:
    samples = random_signal(int((model.max_duration_s + 1) * RATE))
    with pytest.raises(AudioTooLongError) as caught:
        model.ctc_text(samples, sample_rate=RATE)
    assert f"{model.max_duration_s:g} s" in str(caught.value)
    assert model.ctc_text(samples, sample_rate=RATE, end_s=0.5)


def test_an_error_may_be_dropped_on_the_caller_s_thread(model: GraniteSpeech) -> None:
    """With all that it holds of the work, which ran on another one."""
    late_nan = np.where(np.arange(10 * RATE) < 9 * RATE, 0.1, np.nan)
    with pytest.raises(AudioError, match="nan"):
        model.transcribe(late_nan, sample_rate=RATE)
    gc.collect()  # a complaint from there fails the test


@pytest.mark.slow
def test_keywords_and_a_budget_take_room_from_the_audio(
    model: GraniteSpeech, listen: Listen
) -> None:
    samples = random_signal(int((model.max_duration_s - 0.1) * RATE))
    for options in (
        {"keywords": ["Llanfairpwllgwyngyll"] * 2 + ["x" * 90]},
        {"max_new_tokens": 300},
    ):
        transcript = listen(samples, **{"max_new_tokens": None} | options)
        longest_s = max(one.end_s - one.start_s for one in transcript.segments)
        assert longest_s < model.max_duration_s - 1


@pytest.mark.parametrize(
    "options",
    [{"keywords": [f"term number {n}" for n in range(99)]}, {"max_new_tokens": 511}],
    ids=["keywords", "max_new_tokens"],
)
def test_no_room_for_audio_at_all(options: dict[str, Any], listen: Listen) -> None:
    with pytest.raises(ValueError, match="keywords") as caught:
        listen(**{"max_new_tokens": None} | options)
    assert "max_new_tokens" in str(caught.value)
    assert "max_duration_s" not in str(caught.value)  # nothing that the caller gave


@pytest.fixture
def written(model: GraniteSpeech, monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, ...]]:
    """The token ids of each answer of the model, as they come."""
    answers: list[tuple[int, ...]] = []
    decode = model.tokenizer.decode

    def remember(ids: Any) -> str:
        answers.append(tuple(ids))
        return decode(ids)

    monkeypatch.setattr(model.tokenizer, "decode", remember)
    return answers


def test_max_new_tokens(written: list[tuple[int, ...]], listen: Listen) -> None:
    transcripts = [
        listen(max_new_tokens=n, speculative="off", word_times="off") for n in (1, 2, 7, 12)
    ]
    assert [len(ids) for ids in written] == [1, 2, 7, 12]
    assert [ids == written[-1][: len(ids)] for ids in written] == [True] * 4
    for n, transcript in zip((1, 2, 7, 12), transcripts, strict=True):
        assert codes(transcript) == ["cut_off"]
        assert f"{n} tokens" in transcript.warnings[0].message


def test_a_text_that_ends_by_itself(
    tmp_path: Path, model: GraniteSpeech, written: list[tuple[int, ...]]
) -> None:
    model.transcribe(SECOND, sample_rate=RATE, max_new_tokens=12, word_times="off")
    ids = written[-1]
    at = next(n for n in range(3, 12) if ids[n] not in ids[:n])
    config = changed("text_config.eos_token_id", ids[at])  # so that it ends there
    folder = write_checkpoint(tmp_path, config=config, dtype="BF16")
    with granite_mlx.load(folder, dtype="float32") as ending:
        transcript = ending.transcribe(SECOND, sample_rate=RATE)
        assert transcript.text == ending.tokenizer.decode(ids[:at]).strip()
    assert transcript.warnings == ()
