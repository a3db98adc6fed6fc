"""The test sound, and files of it as soundfile and ffmpeg write them."""

import io
import struct
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import soundfile

from granite_mlx.audio.files import SAMPLE_RATE

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
            add_video(output)
        for first in range(0, len(samples), 1024):
            block = np.stack([samples[first : first + 1024]] * 2)
            frame = av.AudioFrame.from_ndarray(block, format="fltp", layout="stereo")
            frame.sample_rate, frame.pts, frame.time_base = rate, first, Fraction(1, rate)
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    return path.read_bytes()


def add_video(output: Any) -> None:
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


def slice_of(samples: np.ndarray, start_s: float, end_s: float | None) -> np.ndarray:
    stop = None if end_s is None else round(end_s * SAMPLE_RATE)
    return samples[round(start_s * SAMPLE_RATE) : stop]


def with_data_size(wav: bytes, n_bytes: int) -> bytes:
    assert wav[36:40] == b"data"
    return wav[:40] + struct.pack("<I", n_bytes) + wav[44:]
