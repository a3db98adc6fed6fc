"""Formats and containers, whatever their names and however they were written."""

from pathlib import Path

import numpy as np
import pytest

from granite_mlx.audio.files import SAMPLE_RATE, load_audio

from .sounds import DURATION_S, encode, likeness, mux, sound, with_data_size

LOSSLESS = [
    ("WAV", "PCM_16", 2**-16),
    ("WAV", "PCM_24", 2**-24),
    ("WAV", "PCM_32", 2**-24),
    ("WAV", "FLOAT", 0.0),
    ("WAV", "DOUBLE", 0.0),
    ("WAV", "PCM_U8", 2**-8),
    ("WAVEX", "PCM_24", 2**-24),  # WAVE_FORMAT_EXTENSIBLE
    ("W64", "PCM_16", 2**-16),
    ("RF64", "PCM_16", 2**-16),
    ("FLAC", "PCM_16", 2**-16),
    ("FLAC", "PCM_24", 2**-24),
    ("AIFF", "PCM_16", 2**-16),
    ("CAF", "PCM_16", 2**-16),
    ("AU", "FLOAT", 0.0),
]


@pytest.mark.parametrize(("container", "subtype", "half_a_step"), LOSSLESS)
def test_lossless_formats_give_back_what_was_written(
    container: str, subtype: str, half_a_step: float
) -> None:
    read = load_audio(encode(container, subtype))
    assert read.dtype == np.float32
    assert read.shape == (DURATION_S * SAMPLE_RATE,)
    assert read.flags.c_contiguous
    # libsndfile truncates 8 bit samples and rounds the others
    assert np.abs(read - sound(SAMPLE_RATE)).max() <= 2 * half_a_step


LOSSY = [("OGG", "VORBIS", 16_000), ("OGG", "OPUS", 48_000), ("MP3", "MPEG_LAYER_III", 44_100)]


@pytest.mark.parametrize(("container", "subtype", "rate"), LOSSY)
def test_lossy_formats_of_libsndfile_sound_the_same(
    container: str, subtype: str, rate: int
) -> None:
    read = load_audio(encode(container, subtype, rate=rate))
    assert len(read) == DURATION_S * SAMPLE_RATE
    assert likeness(read, sound(SAMPLE_RATE)) > 0.99


CONTAINERS = [
    ("sound.m4a", "aac"),
    ("sound.mp4", "aac"),
    ("sound.mov", "pcm_s24le"),
    ("sound.mov", "alac"),
    ("sound.aac", "aac"),
    ("sound.webm", "libopus"),
    ("sound.mka", "flac"),
    ("sound.ts", "aac"),
]


@pytest.mark.parametrize(("name", "codec"), CONTAINERS)
def test_containers_of_ffmpeg_sound_the_same(tmp_path: Path, name: str, codec: str) -> None:
    mux(tmp_path / name, codec)
    read = load_audio(tmp_path / name)
    # Some containers cannot tell that the encoder adds up to 2048 samples of silence in front.
    assert len(read) == pytest.approx(DURATION_S * SAMPLE_RATE, abs=4096 / 48_000 * SAMPLE_RATE)
    assert likeness(read, sound(SAMPLE_RATE), largest_lag=700) > 0.99


def test_lossless_audio_in_a_movie_is_the_same_as_in_a_wav(tmp_path: Path) -> None:
    mux(tmp_path / "film.mov", "pcm_s16le", with_video=True)
    wav = load_audio(encode("WAV", "PCM_16", rate=48_000))
    assert np.abs(load_audio(tmp_path / "film.mov") - wav).max() < 1e-4


def test_a_real_m4a_of_a_voice_recorder(data_dir: Path) -> None:
    read = load_audio(data_dir / "jfk_44k.m4a")
    assert len(read) / SAMPLE_RATE == pytest.approx(11.0, abs=0.01)
    assert 0.01 < np.sqrt(np.mean(read**2)) < 0.3


def test_the_content_decides_and_not_the_suffix(tmp_path: Path, flac: bytes) -> None:
    for name in ("a.wav", "a.mp3", "a.m4a", "a.raw", "a.vox", "a.txt", "a"):
        (tmp_path / name).write_bytes(flac)
        np.testing.assert_array_equal(load_audio(tmp_path / name), load_audio(flac))


def test_a_flac_written_to_a_pipe_is_read_to_its_end(flac: bytes) -> None:
    unknown = bytearray(flac)
    unknown[21] &= 0xF0  # the 36 bit number of samples in STREAMINFO
    unknown[22:26] = bytes(4)
    np.testing.assert_allclose(load_audio(bytes(unknown)), load_audio(flac), atol=1e-7)


@pytest.mark.parametrize("n_bytes", [0, 0xFFFFFFFF, 0x7FFFF000, 0x80000000])
def test_a_wav_whose_writer_did_not_know_its_length(n_bytes: int) -> None:
    wav = with_data_size(encode("WAV"), n_bytes)
    np.testing.assert_array_equal(load_audio(wav), load_audio(encode("WAV")))


@pytest.mark.parametrize("kind", ["mp3", "aac"])
def test_garbage_in_front_is_passed_over(tmp_path: Path, kind: str) -> None:
    codec = {"mp3": "libmp3lame", "aac": "aac"}[kind]
    recording = mux(tmp_path / f"a.{kind}", codec)
    garbage = b"ICY 200 OK\r\nicy-name: Radio\r\n" * 100  # from a stream that was saved
    read = load_audio(garbage + recording)
    assert likeness(read, sound(SAMPLE_RATE), largest_lag=1000) > 0.99


def test_tags_that_are_no_utf8_do_no_harm(tmp_path: Path) -> None:
    mka = mux(tmp_path / "a.mka", "flac")
    assert b"Lavf" in mka  # the name of the writing program, a tag of its own
    np.testing.assert_array_equal(load_audio(mka.replace(b"Lavf", b"L\xe4v\xff")), load_audio(mka))


def test_id3_tags_and_trailing_bytes_of_an_mp3_are_passed_over(tmp_path: Path) -> None:
    mp3 = mux(tmp_path / "a.mp3", "libmp3lame")
    expected = load_audio(mp3)
    tagged = b"ID3\x03\0\0\0\0\x0f\x76" + bytes(range(256)) * 7 + bytes(246) + mp3
    np.testing.assert_array_equal(load_audio(tagged), expected)
    np.testing.assert_array_equal(load_audio(mp3 + b"TAG" + b"x" * 125), expected)
