"""Everything that can be handed over as a recording, and what cannot be read."""

import gzip
import io
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import mlx.core as mx
import numpy as np
import pytest

from granite_mlx.audio.decoders import Recording, open_recording
from granite_mlx.audio.files import SAMPLE_RATE, load_audio
from granite_mlx.errors import AudioError

from .sounds import DURATION_S, add_video, encode, mux, slice_of, sound

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
            assert source.read(100) == held[:100]
            np.testing.assert_array_equal(load_audio(source), expected)  # from its first byte
            assert source.read() == held[100:]


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
    np.testing.assert_allclose(part[160:-160], slice_of(file, 1.0, 1.5)[160:-160], atol=1e-4)


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


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError(5, "Input/output error")])
def test_what_a_file_object_raises(flac: bytes, error: Any) -> None:
    class Interrupted(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            if size and self.tell():
                raise error
            return super().read(100 if size else 0)

    with pytest.raises((KeyboardInterrupt, AudioError)) as caught:
        load_audio(Interrupted(flac))
    assert isinstance(caught.value, KeyboardInterrupt) or "Input/output" in str(caught.value)


def test_decoders_never_call_back(
    tmp_path: Path, flac: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What Ctrl-C raises in a callback from C is lost, and the recording seems to be damaged."""
    streams: list[Any] = []

    def remember(stream: Any, name: str) -> Recording:
        streams.append(stream)
        return open_recording(stream, name)

    monkeypatch.setattr("granite_mlx.audio.files.open_recording", remember)
    (path := tmp_path / "a.flac").write_bytes(flac)
    with (
        path.open("rb") as file,
        path.open("r+b") as writable,
        gzip.open(io.BytesIO(gzip.compress(flac))) as zipped,
    ):
        for source in (path, flac, io.BytesIO(flac), Pipe(flac), file, writable, zipped):
            assert len(load_audio(source)) == DURATION_S * SAMPLE_RATE
    assert {type(stream) for stream in streams} == {io.FileIO}


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
        add_video(output)
    with pytest.raises(AudioError, match=r"silent\.mp4 has no sound track"):
        load_audio(tmp_path / "silent.mp4")
