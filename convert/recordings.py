"""The recordings over which a conversion is compared with its source."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from granite_mlx.audio.suffixes import looks_like_recording
from granite_mlx.errors import ConversionError
from granite_mlx.model.checkpoint import DEMO_FOLDER

if TYPE_CHECKING:
    from granite_mlx.audio.files import AudioSource

PACKAGED = DEMO_FOLDER / "examples"


@dataclass(frozen=True)
class Recording:
    """A recording, and what is said in it where that is known.

    `audio` and `sample_rate` (Hz) are as for `GraniteSpeech.transcribe`.
    """

    name: str
    audio: AudioSource
    sample_rate: int | None = None
    reference: str | None = None


def packaged_recordings() -> list[Recording]:
    """The few that come with granite-mlx."""
    return read_recordings(PACKAGED)


def read_recordings(folder: Path) -> list[Recording]:
    """The recordings in a folder, each with the text of NAME.txt where that lies beside it.

    Raises:
        ConversionError: there is no such folder, nothing in it to listen to, or a text that is
            not UTF-8.
    """
    recordings = list(_find(folder))
    if not recordings:
        raise ConversionError(
            f"{folder} holds no recordings; a verification needs at least one, such as NAME.wav, "
            "and takes what is said in it from NAME.txt if that is there."
        )
    return recordings


def _find(folder: Path) -> Iterator[Recording]:
    try:
        paths = sorted(folder.iterdir())
    except OSError as error:
        raise ConversionError(f"{folder} cannot be read ({error.strerror}).") from error
    for path in paths:
        if looks_like_recording(path.name) and path.is_file():
            yield Recording(path.name, path, reference=_read_reference(path.with_suffix(".txt")))


def _read_reference(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8-sig").strip() if path.is_file() else None
    except UnicodeDecodeError as error:
        raise ConversionError(f"{path} is not UTF-8 text ({error}).") from error
    except OSError as error:
        raise ConversionError(f"{path} cannot be read ({error.strerror}).") from error
