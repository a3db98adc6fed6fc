"""Nothing printed, nothing left open, any thread, and any bytes at all."""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from granite_mlx.audio.files import SAMPLE_RATE, load_audio
from granite_mlx.errors import AudioError

from .sounds import encode, mux, sound


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
