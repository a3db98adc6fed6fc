"""The demo checkpoint and recordings of minutes, through the real command line and Python API."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr

import granite_mlx
from granite_mlx import AudioError, GraniteSpeech, Range
from granite_mlx.evaluate.error_rates import words

RATE = 16_000
ENOUGH_S = 300  # for a process on a busy machine; nothing waits that long if all is well


@pytest.fixture(scope="module")
def model() -> Iterator[GraniteSpeech]:
    with granite_mlx.load("demo") as model:
        yield model


@pytest.fixture(scope="module")
def examples(demo_checkpoint: Path) -> list[tuple[np.ndarray, str]]:
    """The packaged recordings at 16 kHz, and what is said in them."""
    found = []
    for path in sorted(demo_checkpoint.glob("examples/*.flac")):
        samples, rate = soundfile.read(path, dtype="float32")
        resampled = soxr.resample(samples, rate, RATE).astype(np.float32)
        found.append((resampled, path.with_suffix(".txt").read_text().strip()))
    return found


def joined(parts: list[np.ndarray], pauses_s: list[float], noise: float = 0.0) -> np.ndarray:
    """Recordings with pauses behind them, over soft noise."""
    silent = [np.zeros(round(pause_s * RATE), np.float32) for pause_s in pauses_s]
    whole = np.concatenate([one for pair in zip(parts, silent, strict=True) for one in pair])
    rng = np.random.default_rng(0)
    return whole + noise * rng.standard_normal(len(whole)).astype(np.float32)


@pytest.fixture(scope="module")
def long_talk(examples: list[tuple[np.ndarray, str]]) -> tuple[np.ndarray, str]:
    """All examples again and again, with pauses of 0.6 to 5 s."""
    rng = np.random.default_rng(1)
    chosen = [examples[n % len(examples)] for n in range(15)]
    pauses_s = [5.0 if n % 5 == 4 else rng.uniform(0.6, 1.6) for n in range(len(chosen))]
    samples = joined([one for one, _ in chosen], pauses_s, noise=1e-4)
    return samples, " ".join(text for _, text in chosen)


def test_a_long_file_through_the_command_line(
    long_talk: tuple[np.ndarray, str], tmp_path: Path
) -> None:
    samples, said = long_talk
    assert len(samples) > 60 * RATE
    soundfile.write(tmp_path / "long.flac", soxr.resample(samples, RATE, 44_100), 44_100)
    ran = subprocess.run(
        [sys.executable, "-m", "granite_mlx", "transcribe", "-m", "demo", "-f", "json",
         tmp_path / "long.flac"],
        capture_output=True, timeout=ENOUGH_S, check=False,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    result = json.loads(ran.stdout)
    wanted, got = words(said), words(result["text"])
    assert abs(len(got) - len(wanted)) <= 1
    assert sum(a != b for a, b in zip(wanted, got, strict=False)) <= 0.03 * len(wanted)
    starts = [one["start_s"] for one in result["segments"]]
    assert starts == sorted(starts)
    assert result["duration_s"] == pytest.approx(len(samples) / RATE, abs=0.01)
    assert max(one["end_s"] - one["start_s"] for one in result["segments"]) <= 4.51


def test_a_stream_is_the_transcript(
    model: GraniteSpeech, long_talk: tuple[np.ndarray, str]
) -> None:
    samples = long_talk[0][: 25 * RATE]
    transcript = model.transcribe(samples, sample_rate=RATE)
    assert [*model.stream(samples, sample_rate=RATE)] == [*transcript.segments]
    assert len(transcript.segments) > 4


def test_each_segment_is_what_the_example_alone_says(
    model: GraniteSpeech, examples: list[tuple[np.ndarray, str]]
) -> None:
    samples = joined([one for one, _ in examples], [1.0] * len(examples))
    transcript = model.transcribe(samples, sample_rate=RATE)
    assert transcript.text.split() == " ".join(text for _, text in examples).split()


def test_a_call_on_two_channels(
    model: GraniteSpeech, examples: list[tuple[np.ndarray, str]]
) -> None:
    """Two speak by turns, each on a channel; also at the same time."""
    (first, first_text), (second, second_text) = examples[:2]
    n_pause = RATE
    left = np.concatenate([first, np.zeros(len(second) + 2 * n_pause), first])
    right = np.concatenate([np.zeros(len(first) + n_pause), second, np.zeros(n_pause), second])
    longest = max(len(left), len(right))
    call = np.stack([np.pad(one, (0, longest - len(one))) for one in (left, right)], axis=1)
    transcript = model.transcribe(call.astype(np.float32), sample_rate=RATE, channels="separate")
    for label, text in (("channel 1", first_text), ("channel 2", second_text)):
        own = [one.text for one in transcript.segments if one.speaker == label]
        assert " ".join(own) == f"{text} {text}"
    order = [one.speaker for one in transcript.segments]
    assert order[0] == "channel 1"
    assert order.index("channel 2") > 0


def test_channels_that_cancel_each_other_out(
    model: GraniteSpeech, examples: list[tuple[np.ndarray, str]]
) -> None:
    """What is lost is told with its time; what is only soft is heard, and nothing is told."""
    (first, first_text), (second, second_text) = examples[:2]
    same, gap = np.stack([first, first], axis=1), np.zeros((RATE // 2, 2), np.float32)

    def heard(gain: float) -> granite_mlx.Transcript:
        turned = np.stack([second, gain * second], axis=1)
        return model.transcribe(np.concatenate([same, gap, turned]), sample_rate=RATE)

    soft, lost = heard(-0.95), heard(-1.0)
    assert soft.text.split() == f"{first_text} {second_text}".split()
    assert "out_of_phase" not in {one.code for one in soft.warnings}
    assert lost.text.split() == first_text.split()
    (warning,) = [one for one in lost.warnings if one.code == "out_of_phase"]
    assert warning.start_s == pytest.approx(len(first) / RATE + 0.5, abs=0.6)


def test_a_part_of_a_recording_is_translated(
    model: GraniteSpeech, examples: list[tuple[np.ndarray, str]]
) -> None:
    digits = next(one for one in examples if set(one[1].split()) <= set(DIGITS))
    samples = joined([digits[0]] * 3, [1.0] * 3)
    middle_s = (len(digits[0]) + RATE / 2) / RATE
    end_s = 2 * len(digits[0]) / RATE + 1.5
    transcript = model.transcribe(
        samples, sample_rate=RATE, ranges=[Range(middle_s, end_s, to="fr")]
    )
    inside = [one for one in transcript.segments if middle_s - 0.01 <= one.start_s < end_s]
    outside = [one for one in transcript.segments if one not in inside]
    assert " ".join(one.text for one in outside) == f"{digits[1]} {digits[1]}"
    alone = model.translate(digits[0], sample_rate=RATE, to="fr")
    assert words(" ".join(one.text for one in inside)) == words(alone.text)


DIGITS = "zero one two three four five six seven eight nine".split()


@pytest.mark.parametrize("kind", ["noise", "tone"])
def test_nothing_is_invented_between_speech(
    kind: str, model: GraniteSpeech, examples: list[tuple[np.ndarray, str]]
) -> None:
    n = 20 * RATE
    between = {
        "noise": 0.05 * np.random.default_rng(2).standard_normal(n),
        "tone": 0.1 * np.sin(2 * np.pi * 700 * np.arange(n) / RATE),
    }[kind].astype(np.float32)
    (first, first_text), (second, second_text) = examples[:2]
    samples = joined([first, between, second], [0.7, 0.7, 0.5])
    transcript = model.transcribe(samples, sample_rate=RATE)
    assert transcript.text == f"{first_text} {second_text}"


@pytest.mark.slow
def test_a_long_file_that_was_cut_off(
    model: GraniteSpeech, long_talk: tuple[np.ndarray, str], tmp_path: Path
) -> None:
    """What is there is transcribed, and the rest is missing by name."""
    path = tmp_path / "cut.flac"
    soundfile.write(path, long_talk[0], RATE)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 3])
    transcript = model.transcribe(path)
    assert len(transcript.segments) > 3
    (warning,) = [one for one in transcript.warnings if one.code == "damaged"]
    assert warning.start_s is not None
    assert transcript.segments[-1].end_s <= warning.start_s <= len(long_talk[0]) / RATE / 2
    with pytest.raises(AudioError, match="damaged"):
        list(model.stream(path))
