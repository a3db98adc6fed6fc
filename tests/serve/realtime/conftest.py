from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import granite_mlx
from granite_mlx import GraniteSpeech
from granite_mlx.audio.files import load_audio


@pytest.fixture(scope="package")
def model() -> Iterator[GraniteSpeech]:
    with granite_mlx.load("demo") as model:
        yield model


@pytest.fixture(scope="package")
def english(demo_checkpoint: Path) -> np.ndarray:
    """A sentence."""
    return load_audio(demo_checkpoint / "examples" / "english.flac")


@pytest.fixture(scope="package")
def digits(demo_checkpoint: Path) -> np.ndarray:
    """Six digits."""
    return load_audio(demo_checkpoint / "examples" / "digits_nicolas.flac")
