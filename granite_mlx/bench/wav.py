"""The recording that is measured: the packaged examples one after the other, at any length."""

from __future__ import annotations

import wave
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

    Samples = np.ndarray[tuple[int, ...], np.dtype[np.float32]]

SAMPLE_RATE = 16000
STEPS = 32768
"""Of 16 bits to either side of zero."""

EXAMPLES = ("digits", "english", "digits_nicolas", "english_name")
"""English speech; the French example would make another language of it."""


def example_speech(seconds: float) -> Samples:
    """(seconds * 16000,) float32 samples in steps of 16 bits: the examples, again and again."""
    import numpy as np

    from granite_mlx.audio.files import load_audio
    from granite_mlx.model.checkpoint import DEMO_FOLDER

    folder = DEMO_FOLDER / "examples"
    speech = np.concatenate([load_audio(folder / f"{name}.flac") for name in EXAMPLES])
    steps = np.clip(np.round(speech * STEPS), -STEPS, STEPS - 1).astype(np.int16)
    return np.resize(steps, round(seconds * SAMPLE_RATE)).astype(np.float32) / np.float32(STEPS)


def write_wav(path: Path, samples: Samples) -> None:
    """Write samples as 16 bits, mono, at 16 kHz, which loses nothing of `example_speech`."""
    import numpy as np

    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(SAMPLE_RATE)
        file.writeframes(np.round(samples * STEPS).astype("<i2").tobytes())


def read_wav(path: Path) -> Samples:
    """What `write_wav` has written."""
    import numpy as np

    with wave.open(str(path), "rb") as file:
        steps = np.frombuffer(file.readframes(file.getnframes()), "<i2")
    return steps.astype(np.float32) / np.float32(STEPS)
