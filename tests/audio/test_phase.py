"""Where channels cancel each other out in their mean, and where only some of them does."""

from typing import Any

import numpy as np
import pytest

from granite_mlx.audio.files import SAMPLE_RATE, open_audio
from granite_mlx.audio.phase import OutOfPhase, PhaseWatch
from granite_mlx.audio.stream import Part
from granite_mlx.errors import AudioError

from .sounds import encode, sound

RATE = SAMPLE_RATE
SOUND = sound(RATE, 3.0)


def found_in(frames: np.ndarray, rate: int = RATE, **part: Any) -> OutOfPhase | None:
    with open_audio(frames.astype(np.float32), Part(**part), sample_rate=rate) as stream:
        assert len([*stream.blocks()])
        return stream.out_of_phase


def stereo(*gains: float, samples: np.ndarray = SOUND) -> np.ndarray:
    return samples[:, None] * np.array(gains)


def noise(level: float, seed: int = 0) -> np.ndarray:
    """Of its own on each of two channels."""
    return level * np.random.default_rng(seed).standard_normal((len(SOUND), 2))


def hum(level: float) -> np.ndarray:
    return level * np.sin(2 * np.pi * 50 * np.arange(len(SOUND))[:, None] / RATE)


def delayed(samples: np.ndarray, delay_s: float) -> np.ndarray:
    spectrum = np.fft.rfft(samples)
    turns = np.fft.rfftfreq(len(samples), 1 / RATE) * delay_s
    return np.fft.irfft(spectrum * np.exp(-2j * np.pi * turns), len(samples))


CANCELLED = {
    "all": stereo(1, -1),
    "nearly all": stereo(1, -0.995),
    "the same direct voltage on both": stereo(1, -1) + 0.5,
    "the same hum on both": stereo(1, -1) + hum(0.3),
    "noise is left": stereo(1, -1) + noise(0.003),
    "much noise is left": stereo(1, -1) + noise(0.03),
    "two of six": stereo(1, -1, 0, 0, 0, 0),
    "soft": stereo(0.01, -0.01),
}


@pytest.mark.parametrize("name", CANCELLED)
def test_what_is_lost_is_told(name: str) -> None:
    assert found_in(CANCELLED[name]) == OutOfPhase(0.0, 3.0, 1, 3.0)


HEARD = {
    "in phase": stereo(1, 1),
    "on one channel": stereo(1, 0),
    "mono": stereo(1),
    "soft, but whole": stereo(1, -0.95),
    "softer": stereo(1, -0.98),
    "above the noise": stereo(1, -0.9) + noise(0.001),
    "a delay": np.stack([SOUND, -delayed(SOUND, 20e-6)], axis=1),
    "a voltage turned round": stereo(0.02, 0.02) + np.array([0.5, -0.5]),
    "hum turned round": stereo(0.1, 0.1) + hum(0.5) * np.array([1, -1]),
    "the centre of six": stereo(0, 0, 1, 0, 0, 0),
    "one of sixteen": stereo(*[0] * 15, 1),
    "nothing in common": noise(0.1),
    "nothing": stereo(0, 0),
    "too faint for anybody": stereo(1e-4, -1e-4),
}


@pytest.mark.parametrize("name", HEARD)
def test_what_is_heard_is_not_told(name: str) -> None:
    assert found_in(HEARD[name]) is None


@pytest.mark.parametrize("rate", [8_000, 11_025, 44_100, 48_000, 96_000])
def test_the_time_of_a_part(rate: int) -> None:
    once = sound(rate, 10.0)
    turned = np.where(np.arange(len(once)) // rate // 3 == 1, -once, once)  # from 3 s to 6 s
    frames = np.stack([once, turned], axis=1)
    found = found_in(frames, rate)
    assert found is not None
    assert (found.start_s, found.end_s) == (
        pytest.approx(3.0, abs=0.01),
        pytest.approx(6.0, abs=0.01),
    )
    assert (found.n_stretches, found.total_s) == (1, pytest.approx(3.0, abs=0.01))
    later = found_in(frames, rate, start_s=4.0, end_s=9.0)
    assert later is not None
    assert (later.start_s, later.end_s) == (4.0, pytest.approx(6.0, abs=0.01))
    assert found_in(frames, rate, start_s=6.5) is None


def test_stretches_are_counted_and_go_on_over_pauses() -> None:
    parts = [stereo(1, -1), stereo(0, 0), stereo(1, -1), stereo(1, 1), stereo(1, -1)]
    assert found_in(np.concatenate(parts)) == OutOfPhase(0.0, 9.0, 2, 9.0)


def test_a_bang_is_no_measure_for_long() -> None:
    bang, speech = stereo(5, 5), stereo(0.05, -0.05, samples=sound(RATE, 60.0))
    found = found_in(np.concatenate([bang, speech]))
    assert found is not None
    assert 3 < found.start_s < 30


def test_a_pause_with_a_hiss_turned_round_is_none() -> None:
    hiss = 0.001 * np.random.default_rng(1).standard_normal((RATE, 1)) * np.array([1, -1])
    assert found_in(np.concatenate([stereo(1, 1), hiss, stereo(1, 1)])) is None


def test_blocks_of_any_size_and_no_memory_of_them() -> None:
    frames = np.concatenate([stereo(1, 1), stereo(1, -1)]).astype(np.float32)
    for n_block in (100, 1024, 7999, len(frames)):
        watch = PhaseWatch(RATE, 0.0)
        for first in range(0, len(frames), n_block):
            watch.push(frames[first : first + n_block])
            assert len(watch._rest) < RATE / 2
        assert watch.found() == watch.found() == OutOfPhase(3.0, 6.0, 1, 3.0)


def test_channels_apart_cancel_nothing() -> None:
    wav = encode("WAV", samples=stereo(1, -1))
    with open_audio(wav, Part(), separate=True) as stream:
        assert len([*stream.blocks()])
        assert stream.out_of_phase is None


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e30])
def test_damage_leaves_what_was_found(value: float) -> None:
    frames = stereo(1, -1).astype(np.float32)
    frames[40_000] = value
    with open_audio(frames, Part(), sample_rate=RATE) as stream:
        with pytest.raises(AudioError, match="which is no sound"):
            list(stream.blocks())
        found = stream.out_of_phase
    assert found is not None
    assert found.start_s == 0
    assert 2 <= found.end_s <= 3


def test_the_number_of_channels_may_change() -> None:
    watch, once = PhaseWatch(RATE, 0.0), sound(RATE, 2.75)
    for gains in ((1, -1), (1, 1, 1), (1, -1)):
        watch.push(stereo(*gains, samples=once).astype(np.float32))
    assert watch.found() == OutOfPhase(0.0, 2.75, 2, 5.5)
