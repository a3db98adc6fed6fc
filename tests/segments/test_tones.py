"""Beeps are tones; words, vowels and what stands beside a beep are not."""

from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr

from granite_mlx.segments.tones import is_tone

from .sounds import RATE, silence, speech, tone


def among(sound: np.ndarray, noise: float = 1e-4) -> np.ndarray:
    """A sound between half a second of soft noise on either side, and over it."""
    whole = np.concatenate([silence(0.5), sound, silence(0.5)])
    return whole + silence(len(whole) / RATE, noise)


@pytest.mark.parametrize("duration_s", [0.06, 0.1, 0.3, 0.9])
@pytest.mark.parametrize("hertz", [200, 440, 1000, 4000])
def test_beeps_are_tones(duration_s: float, hertz: float) -> None:
    sudden = tone(duration_s, hertz)
    soft = sudden * np.hanning(len(sudden)).astype(np.float32)
    for beep in (sudden, soft):
        assert is_tone(among(beep))
    assert is_tone(among(sudden, noise=0.005))  # 23 dB below it
    assert is_tone(sudden)
    assert is_tone(np.concatenate([among(sudden)] * 3))


@pytest.mark.parametrize("level_db", [0, -10, -20, -28])
def test_soft_speech_beside_a_loud_beep_is_kept(level_db: float) -> None:
    said = speech(0.4, level=0.3 * 10 ** (level_db / 20))
    assert not is_tone(among(np.concatenate([tone(0.3, level=0.3), silence(0.1), said])))


def test_what_moves_or_has_overtones_is_no_tone() -> None:
    t = np.arange(RATE // 2) / RATE
    glide = np.sin(2 * np.pi * (300 * t + 100 * t**2)).astype(np.float32)
    assert not is_tone(among(0.3 * glide))
    assert not is_tone(among(tone(0.3, 200) + tone(0.3, 400)))
    for nothing in (silence(0.5), silence(0.5, 0.1), np.ones(RATE, np.float32), np.eye(1, 640)[0]):
        assert not is_tone(nothing)


def test_no_spoken_word_is_a_tone(data_dir: Path, demo_checkpoint: Path) -> None:
    recordings = [*data_dir.glob("digits/*.flac"), *demo_checkpoint.glob("examples/*.flac")]
    assert len(recordings) > 8
    for path in recordings:
        samples, rate = soundfile.read(path, dtype="float32")
        samples = soxr.resample(samples, rate, RATE).astype(np.float32)
        assert not is_tone(samples)
        for start in range(0, len(samples) - RATE // 4, RATE // 8):
            heard = samples[start : start + RATE // 2]
            assert not is_tone(heard), f"{path.name} at {start / RATE:.2f} s"
