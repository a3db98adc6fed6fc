from collections.abc import Iterator
from pathlib import Path

import pytest

import granite_mlx
from granite_mlx import GraniteSpeech

from ..model.tiny import write_checkpoint
from .asking import SECOND, Listen, listener, write_wav


@pytest.fixture(scope="package")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_checkpoint(tmp_path_factory.mktemp("tiny"), dtype="BF16", n_shards=2)


@pytest.fixture(scope="package")
def model(folder: Path) -> Iterator[GraniteSpeech]:
    with granite_mlx.load(folder, dtype="float32") as model:
        yield model


@pytest.fixture(scope="package")
def listen(model: GraniteSpeech) -> Listen:
    return listener(model)


@pytest.fixture
def wav(tmp_path: Path) -> Path:
    return write_wav(tmp_path / "signal.wav", SECOND)
