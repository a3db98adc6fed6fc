from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import granite_mlx
from granite_mlx import GraniteSpeech
from granite_mlx.audio.files import load_audio

from .talk import said


@pytest.fixture(scope="package")
def model() -> Iterator[GraniteSpeech]:
    """The demo checkpoint: it really hears what is said."""
    with granite_mlx.load("demo") as model:
        yield model


@pytest.fixture(scope="package")
def examples(demo_checkpoint: Path) -> dict[str, np.ndarray]:
    """The demo's recordings by name."""
    return {path.stem: load_audio(path) for path in (demo_checkpoint / "examples").glob("*.flac")}


@pytest.fixture(scope="package")
def talk(examples: dict[str, np.ndarray]) -> np.ndarray:
    """English, French and digits, with a second of room noise behind each."""
    return said(examples, "english", "french", "digits_nicolas")
