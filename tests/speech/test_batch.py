"""Many recordings at a time: what each gets, and what is wrong with one of them."""

from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np
import pytest

import granite_mlx
from granite_mlx import AudioError, GraniteSpeech, LanguageError, Transcript
from granite_mlx.decoding.batch import Question
from granite_mlx.selftest.random_weights import random_signal

from ..model.tiny import write_checkpoint
from .asking import RATE, SECOND, codes

SIGNALS = [random_signal(n) for n in (16_000, 3_000, 40_000, 15_500, 16_000, 90_000, 9_999)]
OPTIONS: dict[str, Any] = {"sample_rate": RATE, "max_new_tokens": 15}


@pytest.fixture(scope="module")
def alone(model: GraniteSpeech) -> list[Transcript]:
    return [model.transcribe(one, speculative="off", **OPTIONS) for one in SIGNALS]


@pytest.mark.parametrize("speculative", ["exact", "off"])
@pytest.mark.parametrize("batch_size", [1, 2, 3, 8])
def test_each_gets_what_it_would_get_alone(
    model: GraniteSpeech, alone: list[Transcript], batch_size: int, speculative: Any
) -> None:
    options = OPTIONS | {"batch_size": batch_size, "speculative": speculative}
    assert model.transcribe_batch(SIGNALS, **options) == alone
    assert len({one.text for one in alone}) > 4


def test_more_than_are_read_at_once(model: GraniteSpeech) -> None:
    signals = [random_signal(4_000 + 100 * n) for n in range(11)]
    wanted = [model.transcribe(one, **OPTIONS) for one in signals]
    assert model.transcribe_batch(signals, batch_size=2, **OPTIONS) == wanted


def test_padding_does_not_reach_the_audio_tokens(
    model: GraniteSpeech, alone: list[Transcript], monkeypatch: pytest.MonkeyPatch
) -> None:
    prompts: list[mx.array] = []

    def remember(*arguments: Any, **options: Any) -> Question:
        prompts.append(arguments[0])
        return Question(*arguments, **options)

    monkeypatch.setattr("granite_mlx.recognition.Question", remember)
    signals = sorted((one for one in SIGNALS if len(one) < 5 * RATE), key=len, reverse=True)
    model.transcribe_batch(signals, batch_size=8, **OPTIONS)
    together = prompts[:]
    for one, got in zip(signals, together, strict=True):
        prompts.clear()
        model.transcribe(one, **OPTIONS)
        assert got.shape == prompts[-1].shape
        np.testing.assert_allclose(np.array(got), np.array(prompts[-1]), atol=1e-5)


def test_what_is_wrong_stands_in_its_place(model: GraniteSpeech, wav: Path, tmp_path: Path) -> None:
    (tmp_path / "text.wav").write_text("no recording")
    good = model.transcribe(wav, max_new_tokens=9)
    batch: list[Any] = [
        wav, tmp_path / "missing.wav", tmp_path / "text.wav", b"", 5, None, SECOND, str(wav)
    ]  # fmt: skip
    results = model.transcribe_batch(batch, max_new_tokens=9)
    assert len(results) == len(batch)
    assert [type(one) for one in results] == [
        Transcript, AudioError, AudioError, AudioError, TypeError, TypeError, ValueError,
        Transcript,
    ]  # fmt: skip
    assert results[0] == results[-1] == good
    assert "missing.wav" in str(results[1])
    assert "sample_rate" in str(results[6])


def test_silence_and_what_is_long(model: GraniteSpeech) -> None:
    long = random_signal(int((model.max_duration_s + 20) * RATE))
    silent, many, good = model.transcribe_batch(
        [np.zeros(RATE), long, SECOND], sample_rate=RATE, max_new_tokens=5
    )
    assert isinstance(silent, Transcript)
    assert codes(silent) == ["silence"]
    assert isinstance(many, Transcript)
    assert many.duration_s == len(long) / RATE
    assert many == model.transcribe(long, sample_rate=RATE, max_new_tokens=5)
    assert isinstance(good, Transcript)
    assert good == model.transcribe(SECOND, sample_rate=RATE, max_new_tokens=5)


def test_nothing_to_do(model: GraniteSpeech) -> None:
    assert model.transcribe_batch([]) == []
    assert [type(one) for one in model.transcribe_batch([b""])] == [AudioError]


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"batch_size": 0}, ValueError, "batch_size"),
        ({"batch_size": 2.5}, TypeError, "batch_size"),
        ({"speculative": "fast"}, ValueError, "exact, relaxed or off"),
        ({"language": "klingon"}, LanguageError, "klingon"),
        ({"keywords": "one"}, TypeError, "list of terms"),
        ({"temperature": -1.0}, ValueError, "temperature"),
        ({"max_new_tokens": 511}, ValueError, "no room for audio"),
    ],
)
def test_wrong_options_are_nobody_s_fault(
    model: GraniteSpeech, options: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        model.transcribe_batch([b""], **options)


@pytest.mark.parametrize("audio", ["a.wav", b"RIFF", Path("a.wav"), SECOND])
def test_a_single_recording_is_no_batch(model: GraniteSpeech, audio: Any) -> None:
    with pytest.raises(TypeError, match="list of recordings"):
        model.transcribe_batch(audio)


def test_progress_is_that_of_all(model: GraniteSpeech) -> None:
    fractions: list[float] = []
    model.transcribe_batch([*SIGNALS[:3], b""], on_progress=fractions.append, **OPTIONS)
    assert fractions == sorted(fractions)
    assert fractions[-1] == 1.0
    assert len(set(fractions)) > 5


def test_a_seed_means_the_same_as_for_one(model: GraniteSpeech) -> None:
    options = OPTIONS | {"temperature": 3.0, "seed": 7}
    wanted = [model.transcribe(one, **options) for one in SIGNALS[:3]]
    assert model.transcribe_batch(SIGNALS[:3], **options) == wanted


def test_an_unknown_way_of_drafting(model: GraniteSpeech) -> None:
    with pytest.raises(ValueError, match="exact, relaxed or off"):
        model.transcribe(b"", speculative="fast")  # type: ignore[arg-type]


# The second head, whatever it says


def test_drafts_of_a_second_head(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_checkpoint(tmp_path)
    head = {"weight": mx.random.normal((307, 26), key=mx.random.key(1)), "bias": mx.zeros(307)}
    mx.save_safetensors(str(tmp_path / "out_llm.safetensors"), head)
    drafts: list[str] = []
    from granite_mlx.decoding.drafts import TextDraft

    def remember(text: str, *arguments: Any) -> TextDraft:
        drafts.append(text)
        return TextDraft(text, *arguments)

    monkeypatch.setattr("granite_mlx.recognition.TextDraft", remember)
    with granite_mlx.load(tmp_path) as model:
        exact = model.transcribe(SECOND, **OPTIONS)
        (draft,) = drafts
        assert draft.strip() != model.ctc_text(SECOND, sample_rate=RATE)
        assert exact == model.transcribe(SECOND, speculative="off", **OPTIONS)


def test_a_size_of_mlx_s_buffer_cache(tmp_path: Path) -> None:
    write_checkpoint(tmp_path)
    before = mx.set_cache_limit(1 << 30)
    try:
        with pytest.raises(ValueError, match="buffer_cache_bytes"):
            granite_mlx.load(tmp_path, buffer_cache_bytes=-1)
        granite_mlx.load(tmp_path, buffer_cache_bytes=3 << 20).close()
        assert mx.set_cache_limit(1 << 40) == 3 << 20
        granite_mlx.load(tmp_path).close()
        assert mx.set_cache_limit(1 << 30) == 1 << 30  # the default
    finally:
        mx.set_cache_limit(before)
