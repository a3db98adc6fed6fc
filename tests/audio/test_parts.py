"""Rates, channels, and parts of a recording."""

import math
import re
import sys
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from granite_mlx.audio.files import SAMPLE_RATE, load_audio
from granite_mlx.errors import AudioError, AudioTooLongError

from .sounds import DURATION_S, encode, mux, slice_of, sound

# Rates and channels


TONES = [(rate, 1000, 1e-6) for rate in (4_000, 8_000, 11_025, 22_050, 44_100, 48_000, 192_000)]
TONES += [
    (rate, 7000, 1e-3) for rate in (22_050, 44_100, 48_000, 192_000)
]  # near the filter's edge


@pytest.mark.parametrize(("rate", "frequency", "tolerance"), TONES)
def test_resampling_keeps_a_tone(rate: int, frequency: int, tolerance: float) -> None:
    read = load_audio(encode("WAV", "DOUBLE", _tone(frequency, rate), rate))
    assert len(read) == SAMPLE_RATE
    inner = slice(800, -800)  # 50 ms at either edge, where the tone begins and ends abruptly
    assert np.abs(read - _tone(frequency, SAMPLE_RATE))[inner].max() < tolerance


@pytest.mark.parametrize("frequency", [8_500, 12_000, 20_000])
def test_resampling_removes_what_is_above_8_khz(frequency: int) -> None:
    read = load_audio(encode("WAV", "DOUBLE", _tone(frequency, 48_000), 48_000))
    assert np.abs(read[800:-800]).max() < 1e-6


def _tone(frequency: int, rate: int) -> np.ndarray:
    """A second of a tone at half of full scale."""
    return 0.5 * np.sin(2 * np.pi * frequency * np.arange(rate) / rate)


@pytest.mark.parametrize("rate", [1_000, 768_000])
def test_the_slowest_and_the_fastest_rate(rate: int) -> None:
    assert len(load_audio(encode("WAV", "FLOAT", sound(rate, 1.5), rate))) == 24_000


@pytest.mark.parametrize("n_channels", [2, 3, 8, 64])
def test_channels_are_averaged(n_channels: int) -> None:
    gains = np.linspace(0, 1, n_channels, dtype=np.float32)
    wav = encode("WAV", "FLOAT", sound(SAMPLE_RATE)[:, None] * gains)
    np.testing.assert_allclose(load_audio(wav), sound(SAMPLE_RATE) / 2, atol=1e-6)


def test_memory_does_not_grow_with_what_is_not_wanted(tmp_path: Path) -> None:
    """32 channels of 20 s are 41 MB of floats; all that is wanted of them is 0.6 MB."""
    path = tmp_path / "long.wav"
    soundfile.write(path, np.repeat(sound(SAMPLE_RATE, 20)[:, None], 32, axis=1), SAMPLE_RATE)
    assert _peak_bytes_of_loading(path, start_s=5, end_s=15) < 6e6


def test_memory_does_not_grow_with_channels(tmp_path: Path) -> None:
    """A second of 500 channels would be 96 MB of floats, a quarter of one 24 MB."""
    path = tmp_path / "wide.wav"
    soundfile.write(path, np.repeat(sound(48_000, 0.3)[:, None], 500, axis=1), 48_000)
    assert _peak_bytes_of_loading(path) < 12e6


def _peak_bytes_of_loading(path: Path, **part: float) -> int:
    tracemalloc.start()
    try:
        load_audio(path, **part)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


# Parts


PARTS = [(0.0, 1.0), (1.0, 2.0), (0.5, None), (2.999, None), (1.25, 99.0)]


@pytest.mark.parametrize(("start_s", "end_s"), PARTS)
@pytest.mark.parametrize("container", ["WAV", "FLAC", "CAF"])
def test_a_part_at_16_khz_is_a_slice_of_the_whole(
    container: str, start_s: float, end_s: float | None
) -> None:
    recording = encode(container)
    expected = slice_of(load_audio(recording), start_s, end_s)
    np.testing.assert_array_equal(load_audio(recording, start_s=start_s, end_s=end_s), expected)


RESAMPLED = [
    ("a.wav", "pcm_s16le", 1e-4),
    ("a.flac", "flac", 1e-4),
    ("a.m4a", "aac", 1e-4),
    ("a.mp3", "libmp3lame", 1e-4),
    ("a.webm", "libopus", 1e-4),
    ("a.opus", "libopus", 0.02),  # the decoder starts anew and takes 80 ms to settle
]


@pytest.mark.parametrize(("name", "codec", "tolerance"), RESAMPLED)
def test_a_part_at_another_rate_is_nearly_a_slice_of_the_whole(
    tmp_path: Path, name: str, codec: str, tolerance: float
) -> None:
    mux(tmp_path / name, codec)
    part = load_audio(tmp_path / name, start_s=1.0, end_s=2.5)
    expected = slice_of(load_audio(tmp_path / name), 1.0, 2.5)
    assert len(part) == len(expected) == 1.5 * SAMPLE_RATE
    inner = slice(160, -160)  # 10 ms, where the resampler sees silence instead of what goes on
    assert np.abs(part - expected)[inner].max() < tolerance


def test_a_part_of_a_vorbis_file_is_nearly_a_slice_of_the_whole() -> None:
    vorbis = encode("OGG", "VORBIS", rate=44_100)
    part = load_audio(vorbis, start_s=1.0, end_s=2.5)
    expected = slice_of(load_audio(vorbis), 1.0, 2.5)
    assert np.abs(part - expected)[160:-160].max() < 1e-4


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"start_s": -1.0}, "start_s must be a time from 0 on, not -1.0"),
        ({"start_s": float("nan")}, "start_s must be a time from 0 on, not nan"),
        ({"start_s": float("inf")}, "start_s must be a time from 0 on, not inf"),
        ({"start_s": 2.0, "end_s": 2.0}, "end_s must be later than start_s=2.0, not 2.0"),
        ({"end_s": float("nan")}, "end_s must be later than start_s=0.0, not nan"),
        ({"max_duration_s": 0.0}, "max_duration_s must be more than 0, not 0.0"),
        ({"sample_rate": 0}, "sample_rate must be 1000 to 768000 Hz, not 0"),
    ],
)
def test_wrong_numbers_are_value_errors(
    flac: bytes, arguments: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        load_audio(flac, **arguments)


@pytest.mark.parametrize(
    "arguments",
    [{"start_s": "1"}, {"start_s": None}, {"end_s": True}, {"sample_rate": 16000.0}],
)
def test_arguments_of_the_wrong_type(flac: bytes, arguments: dict[str, Any]) -> None:
    with pytest.raises(TypeError, match=f"{next(iter(arguments))} must be a"):
        load_audio(flac, **arguments)


@pytest.mark.parametrize("start_s", [3.0, 3.05, 1000.0, sys.float_info.max])
def test_a_start_beyond_the_end(tmp_path: Path, flac: bytes, start_s: float) -> None:
    aac = mux(tmp_path / "a.aac", "aac", samples=sound(48_000, 2.9))
    for recording in (flac, aac, load_audio(flac)):
        rate = SAMPLE_RATE if isinstance(recording, np.ndarray) else None
        with pytest.raises(AudioError, match=re.escape(f"ends before start_s={start_s:g}:")):
            load_audio(recording, sample_rate=rate, start_s=start_s)


@pytest.mark.parametrize("huge", [1e12, sys.float_info.max, math.inf])
def test_an_end_or_a_limit_beyond_all_ends_means_the_end(flac: bytes, huge: float) -> None:
    np.testing.assert_array_equal(load_audio(flac, end_s=huge), load_audio(flac))
    np.testing.assert_array_equal(load_audio(flac, max_duration_s=huge), load_audio(flac))
    assert len(load_audio(flac, start_s=2.0, end_s=huge)) == SAMPLE_RATE


def test_a_recording_as_long_as_the_limit_is_read(flac: bytes) -> None:
    assert len(load_audio(flac, max_duration_s=DURATION_S)) == DURATION_S * SAMPLE_RATE
    part = load_audio(flac, start_s=1.0, end_s=2.0, max_duration_s=1.0)
    assert len(part) == SAMPLE_RATE


def test_too_long_by_the_header_is_told_without_decoding(tmp_path: Path) -> None:
    path = tmp_path / "long.flac"
    path.write_bytes(encode("FLAC")[:4000])  # whoever decodes this finds it damaged
    with pytest.raises(AudioTooLongError, match=r"long.flac is 3.0 s long, and the limit is 2.5 s"):
        load_audio(path, max_duration_s=2.5)
    with pytest.raises(AudioTooLongError, match=r"part of .*long.flac is 2.0 s long.*--start"):
        load_audio(path, start_s=1.0, max_duration_s=1.5)


def test_too_long_without_a_header_is_told_once_the_limit_is_passed(tmp_path: Path) -> None:
    mux(tmp_path / "a.aac", "aac")
    with pytest.raises(AudioTooLongError, match=r"more than 2 s long, and the limit is 2 s"):
        load_audio(tmp_path / "a.aac", max_duration_s=2)
    assert len(load_audio(tmp_path / "a.aac", end_s=2, max_duration_s=2)) == 2 * SAMPLE_RATE
