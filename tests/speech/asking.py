"""A second of sound, and a model that is asked about it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import soundfile

from granite_mlx import GraniteSpeech, Transcript
from granite_mlx.selftest.random_weights import random_signal

RATE = 16_000
SECOND = random_signal(RATE)

Listen: TypeAlias = Callable[..., Transcript]


def listener(model: GraniteSpeech) -> Listen:
    """Transcribe an array with a budget that keeps the tests short."""

    def listen(samples: np.ndarray = SECOND, **options: Any) -> Transcript:
        return model.transcribe(samples, sample_rate=RATE, **{"max_new_tokens": 12} | options)

    return listen


def write_wav(path: Path, samples: np.ndarray) -> Path:
    soundfile.write(path, samples, RATE, subtype="FLOAT")
    return path


def codes(transcript: Transcript) -> list[str]:
    return [warning.code for warning in transcript.warnings]
