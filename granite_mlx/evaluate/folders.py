"""Rows from folders: LibriSpeech's layout, or a text beside each recording."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from granite_mlx.audio.suffixes import looks_like_recording
from granite_mlx.evaluate.errors import EvaluationError
from granite_mlx.evaluate.rows import Row, make_row

TRANSCRIPTS = "*.trans.txt"
USUAL_SUFFIX = ".flac"
"""Of LibriSpeech, for messages about a recording that is missing."""


def is_librispeech(folder: Path) -> bool:
    """Whether the folder or one below it has LibriSpeech's lists of transcripts."""
    return next(folder.rglob(TRANSCRIPTS), None) is not None


def read_librispeech(folder: Path) -> list[Row]:
    """A row for each line `ID TEXT` of all *.trans.txt; ID.flac, or another format, is beside it.

    Raises:
        EvaluationError: a list that cannot be read.
    """
    return [row for path in sorted(folder.rglob(TRANSCRIPTS)) for row in _listed(folder, path)]


def read_pairs(folder: Path) -> list[Row]:
    """A row for each recording that has a text NAME.txt beside it, in this folder alone.

    Raises:
        EvaluationError: a text that cannot be read.
    """
    recordings = sorted(path for path in folder.iterdir() if looks_like_recording(path.name))
    rows = []
    for recording in recordings:
        beside = recording.with_suffix(".txt")
        if beside.is_file():
            text = _read(beside).strip()
            rows.append(make_row(recording.name, recording, recording.name, str(beside), text=text))
    return rows


def _listed(folder: Path, path: Path) -> Iterator[Row]:
    recordings = {
        one.stem: one for one in sorted(path.parent.iterdir()) if looks_like_recording(one.name)
    }
    for number, line in enumerate(_read(path).split("\n"), start=1):
        if not line.strip():
            continue
        name, _, text = line.strip().partition(" ")
        recording = recordings.get(name, path.parent / f"{name}{USUAL_SUFFIX}")
        where = f"{path}, line {number}"
        yield make_row(name, recording, str(recording.relative_to(folder)), where, text=text)


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise EvaluationError(f"{path} cannot be read ({error.strerror}).") from error
    except UnicodeDecodeError as error:
        raise EvaluationError(f"{path} is not UTF-8 text; save it as UTF-8.") from error
