"""What is damaged is found where it is, and what is before it can be used."""

import struct
from pathlib import Path

import numpy as np
import pytest

from granite_mlx.audio.files import SAMPLE_RATE, load_audio
from granite_mlx.errors import AudioError

from .sounds import DURATION_S, encode, mux, sound, with_data_size


def _damaged_after(source: bytes, **part: float) -> float:
    """The second after which load_audio finds the source damaged."""
    with pytest.raises(AudioError, match=r"is damaged after [\d.]+ s: .*--end") as error:
        load_audio(source, **part)
    return float(str(error.value).split("damaged after ")[1].split()[0])


CUT_BY_LIBSNDFILE = [
    (container, None) for container in ("WAV", "WAVEX", "AIFF", "AU", "CAF", "W64", "RF64", "FLAC")
] + [("OGG", "VORBIS"), ("OGG", "OPUS")]


@pytest.mark.parametrize(("container", "subtype"), CUT_BY_LIBSNDFILE)
def test_a_truncated_file_is_not_taken_for_half_of_it(container: str, subtype: str | None) -> None:
    whole = encode(container, subtype, sound(48_000, 8), 48_000)
    half = whole[: len(whole) // 2 - 1]
    after_s = _damaged_after(half)
    assert 2.5 < after_s < 5
    assert len(load_audio(half, end_s=0.5)) == SAMPLE_RATE / 2  # what is there can be used
    with pytest.raises(AudioError, match=r"is damaged (after|before) [\d.]+ s"):
        load_audio(half, start_s=6.0)


def test_a_flac_that_lacks_its_last_bytes() -> None:
    assert _damaged_after(encode("FLAC")[:-10]) == pytest.approx(DURATION_S, abs=0.6)


CUT_BY_FFMPEG = [
    ("a.mp3", "libmp3lame", {}),
    ("a.webm", "libopus", {}),
    ("a.mka", "flac", {}),
    ("a.m4a", "aac", {"movflags": "faststart"}),
    ("a.mp4", "aac", {"movflags": "frag_keyframe+empty_moov", "frag_duration": "500000"}),
]


@pytest.mark.parametrize(("name", "codec", "options"), CUT_BY_FFMPEG)
def test_a_truncated_container_is_not_taken_for_half_of_it(
    tmp_path: Path, name: str, codec: str, options: dict[str, str]
) -> None:
    whole = mux(tmp_path / name, codec, **options)
    half = whole[: len(whole) // 2]
    assert 1.2 < _damaged_after(half) < 1.7
    assert len(load_audio(half, end_s=0.5)) == SAMPLE_RATE / 2


def test_a_truncated_m4a(data_dir: Path) -> None:
    """A real one: its index comes first, so ffmpeg opens it and stops half-way without a word."""
    recording = (data_dir / "jfk_44k.m4a").read_bytes()
    assert _damaged_after(recording[:95_000]) < 11
    assert len(load_audio(recording[:95_000], end_s=0.25)) == SAMPLE_RATE / 4


def test_an_m4a_whose_index_is_lost(tmp_path: Path) -> None:
    recording = mux(tmp_path / "a.m4a", "aac")  # its index comes last
    with pytest.raises(AudioError, match="cannot be read as audio, being damaged"):
        load_audio(recording[: len(recording) // 2])


@pytest.mark.parametrize("name", ["a.aac", "a.mp3"])
def test_garbage_in_the_middle_is_found_where_it_is(tmp_path: Path, name: str) -> None:
    recording = bytearray(mux(tmp_path / name, {"a.aac": "aac", "a.mp3": "libmp3lame"}[name]))
    first = len(recording) // 2
    for index in range(first, first + 6000, 40):
        recording[index : index + 20] = b"\x55" * 20
    after_s = _damaged_after(bytes(recording))
    assert 1.2 < after_s < 1.7


def test_a_wav_header_that_claims_more_than_it_holds() -> None:
    ten_frames = encode("WAV")[:64]
    assert len(load_audio(with_data_size(ten_frames, 0x80000000))) == 10
    assert _damaged_after(with_data_size(ten_frames, 32_000)) == 0.0
    # Off by a little, as careless writers leave it: nothing that one could hear is missing.
    assert len(load_audio(with_data_size(encode("WAV"), 2 * 48_000 + 8))) == 48_000


@pytest.mark.parametrize(
    ("offset", "value", "message"),
    [
        (20, b"\x99\x99", "is encoded in a way that ffmpeg does not know"),
        (22, b"\0\0", "holds no samples that can be decoded"),
        (22, b"\xff\xff", "holds no samples that can be decoded"),
        (24, b"\0\0\0\0", "cannot be read as audio"),
        (24, struct.pack("<I", 999), "gives its sample rate as 999 Hz"),
        (24, struct.pack("<I", 768_001), "gives its sample rate as 768001 Hz"),
    ],
)
def test_a_wav_with_an_impossible_codec_channels_or_rate(
    offset: int, value: bytes, message: str
) -> None:
    wav = bytearray(encode("WAV"))
    wav[offset : offset + len(value)] = value
    with pytest.raises(AudioError, match=message):
        load_audio(bytes(wav))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e30])
def test_values_that_are_no_sound_are_found_where_they_are(value: float) -> None:
    samples = sound(SAMPLE_RATE)[:, None].repeat(2, axis=1)
    samples[24_000, 1] = value
    with pytest.raises(AudioError, match=r"holds the value \S+ at 1\.500 s, which is no sound"):
        load_audio(encode("WAV", "FLOAT", samples))
    with pytest.raises(AudioError, match=r"the given array holds .* at 1\.500 s"):
        load_audio(samples, sample_rate=SAMPLE_RATE, start_s=1.0)
    assert len(load_audio(samples, sample_rate=SAMPLE_RATE, end_s=1.5)) == 24_000


def test_a_value_too_large_for_float32() -> None:
    with pytest.raises(AudioError, match=r"holds the value inf at 0\.000 s"):
        load_audio(np.full(100, 1e300), sample_rate=SAMPLE_RATE)
