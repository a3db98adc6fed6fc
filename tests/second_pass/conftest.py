from collections.abc import Iterator
from pathlib import Path

import pytest

from granite_mlx.second_pass import MlxLmModel, load_text_model
from granite_mlx.transcript import Segment, Transcript

from .tiny_text import write_text_model

SAID = (
    ("Anna", "Good morning. We have to talk about the budget for the new bridge."),
    ("Ben", "The bridge costs twenty-five million, and we don't have that."),
    ("Anna", "Then we decide it now: the bridge is put off"),
    ("Anna", "until next year, and Ben writes to the ministry."),
    ("Ben", "I will do that by Friday."),
)


def transcript_of(*said: tuple[str | None, str]) -> Transcript:
    """Segments of 30 seconds each."""
    segments = tuple(
        Segment(30.0 * n, 30.0 * n + 30, text, speaker=speaker)
        for n, (speaker, text) in enumerate(said)
    )
    return Transcript(segments, "en", None, "transcribe", 30.0 * len(said), "demo")


@pytest.fixture(scope="package")
def meeting() -> Transcript:
    """Five segments of two speakers."""
    return transcript_of(*SAID)


@pytest.fixture(scope="package")
def long_meeting() -> Transcript:
    """Sixty segments, each of which says its own number."""
    return transcript_of(*((None, f"Point number {n} is agreed on by all.") for n in range(60)))


@pytest.fixture(scope="package")
def text_model_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_text_model(tmp_path_factory.mktemp("text") / "tiny-granite")


@pytest.fixture(scope="package")
def text_model(text_model_folder: Path) -> Iterator[MlxLmModel]:
    with load_text_model(text_model_folder) as model:
        yield model
