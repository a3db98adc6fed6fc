"""Any recording, in any container, damaged or not: what load_audio makes of it."""

import io
import os
import struct
import subprocess
import sys
import threading
import tracemalloc
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import mlx.core as mx
import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from granite_mlx.audio.files import SAMPLE_RATE, load_audio
from granite_mlx.errors import AudioError, AudioTooLongError

# Sound of about 60 to 6000 Hz that never repeats, so that a shift or a gap shows.
DURATION_S = 3


def sound(rate: int, duration_s: float = DURATION_S) -> np.ndarray:
    """The test sound at any rate, shape (n_samples,): the same function of time."""
    t = np.arange(round(duration_s * rate)) / rate
    tones = [(220, 0.1), (447, 0.1), (1310, 0.05), (2903, 0.03)]
    swept = 0.1 * np.sin(2 * np.pi * (60 * t + 400 * t**2))
    return (swept + sum(a * np.sin(2 * np.pi * f * t) for f, a in tones)).astype(np.float32)


def encode(
    container: str, subtype: str | None = None, samples: Any = None, rate: int = SAMPLE_RATE
) -> bytes:
    """A file as soundfile writes it."""
    file = io.BytesIO()
    samples = sound(rate) if samples is None else samples
    soundfile.write(file, samples, rate, format=container, subtype=subtype)
    return file.getvalue()


def mux(
    path: Path,
    codec: str,
    rate: int = 48_000,
    samples: Any = None,
    container: str | None = None,
    with_video: bool = False,
    **options: str,
) -> bytes:
    """A file as ffmpeg writes it, with the test sound on two channels."""
    samples = sound(rate) if samples is None else samples
    with av.open(path, "w", format=container, options=options) as output:
        stream = output.add_stream(codec, rate=rate, layout="stereo")
        if with_video:
            _add_video(output)
        for first in range(0, len(samples), 1024):
            block = np.stack([samples[first : first + 1024]] * 2)
            frame = av.AudioFrame.from_ndarray(block, format="fltp", layout="stereo")
            frame.sample_rate, frame.pts, frame.time_base = rate, first, Fraction(1, rate)
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    return path.read_bytes()


def _add_video(output: Any) -> None:
    stream = output.add_stream("mpeg4", rate=10, width=64, height=64)
    for index in range(10 * DURATION_S):
        frame = av.VideoFrame(64, 64, "yuv420p")
        frame.pts = index
        output.mux(stream.encode(frame))
    output.mux(stream.encode(None))


def likeness(a: np.ndarray, b: np.ndarray, largest_lag: int = 0) -> float:
    """The best correlation of two recordings where `a` is up to `largest_lag` late, 1 if equal."""
    n_fft = len(a) + len(b)
    products = np.fft.irfft(np.fft.rfft(a, n_fft) * np.conj(np.fft.rfft(b, n_fft)), n_fft)
    return float(products[: largest_lag + 1].max() / (np.linalg.norm(a) * np.linalg.norm(b)))


@pytest.fixture
def flac() -> bytes:
    return encode("FLAC")


# Formats


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
    wav = _with_data_size(encode("WAV"), n_bytes)
    np.testing.assert_array_equal(load_audio(wav), load_audio(encode("WAV")))


def _with_data_size(wav: bytes, n_bytes: int) -> bytes:
    assert wav[36:40] == b"data"
    return wav[:40] + struct.pack("<I", n_bytes) + wav[44:]


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
    expected = _slice(load_audio(recording), start_s, end_s)
    np.testing.assert_array_equal(load_audio(recording, start_s=start_s, end_s=end_s), expected)


def _slice(samples: np.ndarray, start_s: float, end_s: float | None) -> np.ndarray:
    stop = None if end_s is None else round(end_s * SAMPLE_RATE)
    return samples[round(start_s * SAMPLE_RATE) : stop]


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
    expected = _slice(load_audio(tmp_path / name), 1.0, 2.5)
    assert len(part) == len(expected) == 1.5 * SAMPLE_RATE
    inner = slice(160, -160)  # 10 ms, where the resampler sees silence instead of what goes on
    assert np.abs(part - expected)[inner].max() < tolerance


def test_a_part_of_a_vorbis_file_is_nearly_a_slice_of_the_whole() -> None:
    vorbis = encode("OGG", "VORBIS", rate=44_100)
    part = load_audio(vorbis, start_s=1.0, end_s=2.5)
    expected = _slice(load_audio(vorbis), 1.0, 2.5)
    assert np.abs(part - expected)[160:-160].max() < 1e-4


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"start_s": -1.0}, "start_s must be a time from 0 on, not -1.0"),
        ({"start_s": float("nan")}, "start_s must be a time from 0 on, not nan"),
        ({"start_s": float("inf")}, "start_s must be a time from 0 on, not inf"),
        ({"start_s": 2.0, "end_s": 2.0}, "end_s must be later than start_s=2.0, not 2.0"),
        ({"end_s": float("nan")}, "end_s must be later than start_s=0.0, not nan"),
        ({"end_s": float("inf")}, "end_s must be later than start_s=0.0, not inf"),
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


@pytest.mark.parametrize("start_s", [3.0, 3.05, 1000.0])
def test_a_start_beyond_the_end(tmp_path: Path, flac: bytes, start_s: float) -> None:
    aac = mux(tmp_path / "a.aac", "aac", samples=sound(48_000, 2.9))
    for recording in (flac, aac, load_audio(flac)):
        rate = SAMPLE_RATE if isinstance(recording, np.ndarray) else None
        with pytest.raises(AudioError, match=f"ends before start_s={start_s:g}"):
            load_audio(recording, sample_rate=rate, start_s=start_s)


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


# Sources


class Pipe(io.RawIOBase):
    """A stream that gives its bytes once, a few at a time, as standard input does."""

    def __init__(self, held: bytes) -> None:
        self._held = io.BytesIO(held)

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        return self._held.read(min(size, 5000) if size >= 0 else -1)


class OnlyRead:
    """The least that one can call a file object."""

    def __init__(self, held: bytes) -> None:
        self.read = io.BytesIO(held).read


@pytest.mark.parametrize("name", ["a.flac", "a.m4a"])
def test_every_way_to_hand_over_a_file_gives_the_same(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    held = mux(path, {"a.flac": "flac", "a.m4a": "aac"}[name])
    expected = load_audio(path)
    sources: list[Any] = [str(path), held, bytearray(held), memoryview(held), Pipe(held)]
    sources += [io.BytesIO(held), OnlyRead(held)]
    for source in sources:
        np.testing.assert_array_equal(load_audio(source), expected)
    with path.open("rb") as file, path.open("rb", buffering=0) as unbuffered:
        for source in (file, unbuffered):
            source.seek(100)  # read from its first byte all the same
            np.testing.assert_array_equal(load_audio(source), expected)
            assert not source.closed


def test_a_recording_from_standard_input(flac: bytes, repository: Path) -> None:
    code = (
        "import sys; from granite_mlx.audio.files import load_audio;"
        "print(len(load_audio(sys.stdin.buffer)))"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], input=flac, capture_output=True, check=True, cwd=repository
    )
    assert int(result.stdout) == DURATION_S * SAMPLE_RATE


def test_a_named_pipe_is_read_as_a_file(tmp_path: Path, flac: bytes) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    writer = threading.Thread(target=path.write_bytes, args=(flac,))
    writer.start()
    np.testing.assert_array_equal(load_audio(path), load_audio(flac))
    writer.join()


def test_arrays_of_every_type_are_scaled_to_the_same_sound() -> None:
    expected = sound(SAMPLE_RATE)
    scaled: list[tuple[Any, float]] = [
        (expected, 0),
        (expected.astype(np.float64), 0),
        (expected.astype(np.float16), 1e-3),
        (expected.astype(">f4"), 0),
        (np.round(expected * 2.0**31).astype(np.int32), 1e-7),
        (np.round(expected * 2**15).astype(np.int16), 2e-5),
        (np.round(expected * 2**7).astype(np.int8), 4e-3),
        (np.round(expected * 2**7 + 128).astype(np.uint8), 4e-3),
        (np.round(expected * 2**15 + 2**15).astype(np.uint16), 2e-5),
        (expected.tolist(), 0),
        (mx.array(expected), 0),
        (mx.array(expected).astype(mx.bfloat16), 2e-3),
    ]
    for samples, tolerance in scaled:
        read = load_audio(samples, sample_rate=SAMPLE_RATE)
        assert read.dtype == np.float32
        np.testing.assert_allclose(read, expected, atol=tolerance, rtol=0)


def test_an_array_is_what_the_same_file_is() -> None:
    stereo = np.stack([sound(44_100), -0.5 * sound(44_100)], axis=1)
    file = load_audio(encode("WAV", "FLOAT", stereo, 44_100))
    for array in (stereo, stereo.T, np.asfortranarray(stereo), stereo[::-1][::-1]):
        np.testing.assert_allclose(load_audio(array, sample_rate=44_100), file, atol=1e-7)
    part = load_audio(stereo, sample_rate=44_100, start_s=1.0, end_s=1.5)
    np.testing.assert_allclose(part[160:-160], _slice(file, 1.0, 1.5)[160:-160], atol=1e-4)


def test_the_result_shares_no_memory_with_the_given_array() -> None:
    given_array = sound(SAMPLE_RATE)
    read = load_audio(given_array, sample_rate=SAMPLE_RATE)
    assert not np.shares_memory(read, given_array)


def test_an_array_needs_its_sample_rate_and_a_file_must_not_contradict(flac: bytes) -> None:
    with pytest.raises(ValueError, match="sample_rate is missing"):
        load_audio(sound(SAMPLE_RATE))
    assert len(load_audio(flac, sample_rate=SAMPLE_RATE)) == DURATION_S * SAMPLE_RATE
    with pytest.raises(ValueError, match="recorded at 16000 Hz, not at sample_rate=8000"):
        load_audio(flac, sample_rate=8000)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (None, "audio must be a path, bytes, a file object or an array of samples, not NoneType"),
        (3.5, "not float"),
        ({"audio": 1}, "not dict"),
        (["a.wav"], "samples must be floats or integers"),
        ([[1.0], [1.0, 2.0]], "this list cannot be read as audio"),
        (np.zeros(9, bool), "samples must be floats or integers, not bool"),
        (np.zeros(9, complex), "samples must be floats or integers, not complex128"),
        (np.zeros(9, np.int64), "int64 samples have no agreed scale: use int16"),
        ([1, 2, 3], "int64 samples have no agreed scale"),
        (io.StringIO("RIFF"), "is open as text"),
    ],
)
def test_what_is_no_audio_is_a_type_error(source: Any, message: str) -> None:
    with pytest.raises(TypeError, match=message):
        load_audio(source, sample_rate=SAMPLE_RATE)


def test_an_array_of_three_dimensions_is_a_value_error() -> None:
    with pytest.raises(ValueError, match="has 3 dimensions"):
        load_audio(np.zeros((1, 2, 100)), sample_rate=SAMPLE_RATE)


# What cannot be read


def test_missing_files_folders_and_empty_files(tmp_path: Path) -> None:
    with pytest.raises(AudioError, match=r"there is no file .*gone\.wav: check the name"):
        load_audio(tmp_path / "gone.wav")
    with pytest.raises(AudioError, match=r"there is no file https://.*: download it first"):
        load_audio("https://example.com/a.mp3")
    with pytest.raises(AudioError, match="is a folder: name a recording in it"):
        load_audio(tmp_path)
    (tmp_path / "empty.wav").touch()
    for source in (tmp_path / "empty.wav", b"", io.BytesIO(), Pipe(b"")):
        with pytest.raises(AudioError, match="is empty"):
            load_audio(source)


def test_a_file_without_permission(tmp_path: Path, flac: bytes) -> None:
    path = tmp_path / "secret.flac"
    path.write_bytes(flac)
    path.chmod(0)
    for _ in _as_somebody_without_rights():
        with pytest.raises(AudioError, match=r"secret\.flac may not be read"):
            load_audio(path)


def _as_somebody_without_rights() -> Iterator[None]:
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)  # root may read everything
    try:
        yield
    finally:
        os.seteuid(0)


def test_an_unreadable_device_is_told_in_one_sentence() -> None:
    class Broken(Pipe):
        def read(self, size: int = -1) -> bytes:
            if size == 0:
                return b""
            raise OSError(5, "Input/output error")

    with pytest.raises(AudioError, match="cannot be read: Input/output error"):
        load_audio(Broken(b""))


@pytest.mark.parametrize("container", ["WAV", "AIFF", "CAF"])
def test_a_file_with_a_header_and_no_samples(container: str) -> None:
    with pytest.raises(AudioError, match="holds no samples"):
        load_audio(encode(container, samples=np.zeros(0)))


def test_arrays_without_samples() -> None:
    for shape in ((0,), (0, 2), (2, 0)):
        with pytest.raises(AudioError, match="the given array holds no samples"):
            load_audio(np.zeros(shape), sample_rate=SAMPLE_RATE)


def test_an_error_or_ctrl_c_while_libsndfile_reads_reaches_the_caller(flac: bytes) -> None:
    """libsndfile calls back from C, which can raise nothing."""

    class Interrupted(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            if self.tell() > len(flac) // 2:
                raise KeyboardInterrupt
            return super().read(size)

    with pytest.raises(KeyboardInterrupt):
        load_audio(Interrupted(flac))


def test_one_millisecond_is_returned_as_it_is() -> None:
    read = load_audio(encode("WAV", "FLOAT", sound(SAMPLE_RATE, 0.001)))
    np.testing.assert_array_equal(read, sound(SAMPLE_RATE, 0.001))
    assert len(load_audio(encode("WAV", "FLOAT", sound(44_100, 0.001), 44_100))) == 16


PLAYLIST = "#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\n{path}\n#EXT-X-ENDLIST\n"


@pytest.mark.parametrize(
    "text",
    [
        b"Dear diary, this is no sound at all.\n" * 50,
        b"\xff\xfe" + ("Dear diary, " * 200).encode("utf-16-le"),
        b"ID3",
        b"\xff",
        b"RIFF\0\0\0\0WAVE",
        bytes(50_000),
        np.random.default_rng(0).bytes(50_000),
    ],
)
def test_what_is_no_recording(tmp_path: Path, text: bytes) -> None:
    path = tmp_path / "notes.wav"
    path.write_bytes(text)
    with pytest.raises(AudioError, match=r"notes\.wav (cannot be read as audio|holds no samples)"):
        load_audio(path)


@pytest.mark.parametrize("playlist", [PLAYLIST, "ffconcat version 1.0\nfile {path}\n"])
def test_a_playlist_does_not_make_us_open_other_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, playlist: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("secret.wav").write_bytes(encode("WAV"))
    Path("list.m3u8").write_text(playlist.format(path="secret.wav"))
    with pytest.raises(AudioError, match="cannot be read as audio"):
        load_audio("list.m3u8")


def test_a_movie_without_sound(tmp_path: Path) -> None:
    with av.open(tmp_path / "silent.mp4", "w") as output:
        _add_video(output)
    with pytest.raises(AudioError, match=r"silent\.mp4 has no sound track"):
        load_audio(tmp_path / "silent.mp4")


# What is damaged


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
    assert len(load_audio(_with_data_size(ten_frames, 0x80000000))) == 10
    assert _damaged_after(_with_data_size(ten_frames, 32_000)) == 0.0
    # Off by a little, as careless writers leave it: nothing that one could hear is missing.
    assert len(load_audio(_with_data_size(encode("WAV"), 2 * 48_000 + 8))) == 48_000


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


# Manners


def _sources_of_every_kind(tmp_path: Path, flac: bytes) -> list[bytes]:
    m4a = mux(tmp_path / "a.m4a", "aac", movflags="faststart")
    mp3 = mux(tmp_path / "a.mp3", "libmp3lame")
    return [
        flac,
        flac[: len(flac) // 2],
        m4a,
        m4a[: len(m4a) // 2],
        b"ID3\x03\0\0\0\0\x0f\x76COMM" + b"\xff" * 2000 + mp3,  # mpg123 would complain
        mp3[:6000] + bytes(3000) + mp3[9000:],
        b"no recording",
    ]


def _outcome(source: Any) -> bytes | str:
    try:
        return load_audio(source).tobytes()
    except AudioError as error:
        return str(error)


def test_nothing_is_printed(tmp_path: Path, flac: bytes, capfd: pytest.CaptureFixture[str]) -> None:
    sources = _sources_of_every_kind(tmp_path, flac)
    capfd.readouterr()  # encoders may talk
    outcomes = [_outcome(source) for source in sources]
    assert {type(outcome) for outcome in outcomes} == {bytes, str}
    assert capfd.readouterr() == ("", "")


def test_every_file_is_closed_again(tmp_path: Path, flac: bytes) -> None:
    paths = []
    for index, source in enumerate(_sources_of_every_kind(tmp_path, flac)):
        paths.append(tmp_path / str(index))
        paths[-1].write_bytes(source)
    _outcome(paths[0])
    before = sorted(os.listdir("/dev/fd"))
    for path in paths:
        _outcome(path)
    assert sorted(os.listdir("/dev/fd")) == before


def test_many_threads_get_what_one_gets(tmp_path: Path, flac: bytes) -> None:
    sources = _sources_of_every_kind(tmp_path, flac) * 3
    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(_outcome, sources))
    assert together == [_outcome(source) for source in sources]


@pytest.fixture(scope="module")
def short_files(tmp_path_factory: pytest.TempPathFactory) -> list[bytes]:
    """A tenth of a second in many containers, as small as it gets."""
    tmp_path = tmp_path_factory.mktemp("short")
    short: Callable[[int], np.ndarray] = lambda rate: sound(rate, 0.1)  # noqa: E731
    files = [
        encode(container, samples=short(SAMPLE_RATE))
        for container in ("WAV", "WAVEX", "AIFF", "AU", "CAF", "W64", "FLAC", "OGG")
    ]
    for name, codec in [("a.m4a", "aac"), ("a.mp3", "libmp3lame"), ("a.webm", "libopus")]:
        files.append(mux(tmp_path / name, codec, samples=short(48_000)))
    return files


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_no_damage_leads_to_anything_but_samples_or_an_audio_error(
    short_files: list[bytes], data: st.DataObject
) -> None:
    damaged = bytearray(data.draw(st.sampled_from(short_files)))
    for _ in range(data.draw(st.integers(0, 8))):
        # most of what can go wrong is in the first bytes
        position = data.draw(st.integers(0, len(damaged) - 1) | st.integers(0, 100))
        damaged[position] = data.draw(st.integers(0, 255))
    damaged = damaged[: data.draw(st.integers(len(damaged) // 2, len(damaged)))]
    try:
        read = load_audio(bytes(damaged), max_duration_s=60)
    except AudioError as error:
        message = str(error)
        read = np.ones(1, np.float32)
    else:
        message = ""
    assert message == "" or "the audio in the given bytes" in message
    assert read.dtype == np.float32
    assert read.ndim == 1
    assert np.isfinite(read).all()
