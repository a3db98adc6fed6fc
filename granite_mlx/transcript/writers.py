"""The formats in which a transcript is written, and the one place that writes it to a file."""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Callable
from functools import partial
from pathlib import Path

from granite_mlx.transcript.schema import to_json
from granite_mlx.transcript.subtitle_options import SubtitleOptions
from granite_mlx.transcript.subtitles import to_srt, to_tsv, to_vtt
from granite_mlx.transcript.types import Transcript

Writer = Callable[[Transcript], str]
"""A transcript -> the text of a file, without the newline at its end."""


def to_txt(transcript: Transcript) -> str:
    """One segment a line, behind its speaker's label if there is one; none without text."""
    return "\n".join(
        segment.text if segment.speaker is None else f"{segment.speaker}: {segment.text}"
        for segment in transcript.segments
        if segment.text
    )


def writers(subtitles: SubtitleOptions | None = None) -> dict[str, Writer]:
    """The writer of each format, those of `SUBTITLE_FORMATS` with the options."""
    return {
        "txt": to_txt,
        "srt": partial(to_srt, options=subtitles),
        "vtt": partial(to_vtt, options=subtitles),
        "tsv": to_tsv,
        "json": to_json,
    }


FORMATS = tuple(writers())
SUBTITLE_FORMATS = ("srt", "vtt")


def save(
    transcript: Transcript,
    path: str | os.PathLike[str],
    subtitles: SubtitleOptions | None = None,
) -> None:
    """Write the transcript in the format that the path's suffix names; see `Transcript.save`."""
    path = Path(path)
    writer = writers(subtitles).get(path.suffix.lower().removeprefix("."))
    if writer is None:
        formats = f"{', '.join(f'.{name}' for name in FORMATS[:-1])} and .{FORMATS[-1]}"
        raise ValueError(
            f"{path}: a transcript cannot be saved as {path.suffix or 'a file without a suffix'}; "
            f"the formats are {formats}."
        )
    replace_file(path, writer(transcript) + "\n")


def replace_file(path: Path, text: str) -> None:
    """Write text as UTF-8 so that the file is at all times the old one or the whole new one.

    It is written beside its place and renamed. A lone surrogate, which UTF-8 has no bytes for, is
    written as \\udcXX: in JSON that is its own escape.
    """
    # A link's target is replaced, not the link; the short name cannot exceed the length limit.
    place = Path(os.path.realpath(path))
    beside = place.with_name(f".granite-mlx-{secrets.token_hex(6)}.part")
    try:
        with open(beside, "x", encoding="utf-8", errors="backslashreplace", newline="") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(beside, place)
    except BaseException as error:  # Ctrl-C too: nothing half-written stays
        with contextlib.suppress(OSError):
            beside.unlink()
        if isinstance(error, OSError):  # name the file that was asked for, not the one beside it
            error.filename, error.filename2 = str(path), None
        raise
