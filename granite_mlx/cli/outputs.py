"""Where each transcript goes: to stdout, or to files whose names never collide."""

from __future__ import annotations

import errno
import json
import os
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path

from granite_mlx.cli.arguments import ALL_FORMATS
from granite_mlx.cli.failures import UsageError
from granite_mlx.cli.inputs import Recording
from granite_mlx.cli.screen import Screen, shown
from granite_mlx.transcript import FORMATS, SubtitleOptions, Transcript
from granite_mlx.transcript.schema import to_record
from granite_mlx.transcript.writers import Writer, writers

Delivery = Callable[[Transcript], None]
"""Brings one recording's transcript where it belongs."""


def deliveries_to_stdout(
    recordings: Sequence[Recording],
    output_format: str,
    screen: Screen,
    subtitles: SubtitleOptions,
) -> list[Delivery]:
    """One delivery for each recording: text, under its name if there are several, or JSON Lines.

    Raises:
        UsageError: all formats at once, which stdout cannot hold.
    """
    if output_format == ALL_FORMATS:
        raise UsageError("-f all writes several files for each input and needs -o DIR.")
    if output_format == "json":
        return [partial(_print_json_line, screen, recording) for recording in recordings]
    writer = writers(subtitles)[output_format]
    if len(recordings) == 1:
        return [partial(_print_text, screen, writer, "")]
    headings = [f"== {recording.shown_name} ==\n" for recording in recordings]
    return [partial(_print_text, screen, writer, heading) for heading in headings]


def deliveries_to_folder(
    recordings: Sequence[Recording],
    folder: Path,
    output_format: str,
    screen: Screen,
    subtitles: SubtitleOptions,
    *,
    protected: Iterable[Path],
) -> list[Delivery]:
    """One delivery for each recording into a folder, which is made; `protected` files stay.

    Raises:
        UsageError: the folder cannot be made or written to, or a name is too long for it.
    """
    _make_folder(folder)
    formats = FORMATS if output_format == ALL_FORMATS else (output_format,)
    kept = {identity for path in protected if (identity := _identity(path)) is not None}

    def paths(stem: str) -> list[Path]:
        return [folder / f"{stem}.{suffix}" for suffix in formats]

    def is_free(stem: str) -> bool:
        return all(_identity(path) not in kept for path in paths(stem))

    stems = distinct_stems([recording.stem for recording in recordings], is_free)
    for recording, stem in zip(recordings, stems, strict=True):
        if stem != recording.stem:
            screen.warning(
                f"{recording.shown_name}: its output is named {shown(stem)}, "
                f"because {shown(recording.stem)} is taken."
            )
        _check_length(paths(stem), recording)
    return [
        partial(_save, screen, recording, paths(stem), subtitles)
        for recording, stem in zip(recordings, stems, strict=True)
    ]


def warn_without_words(
    recordings: Sequence[Recording], deliveries: Sequence[Delivery], screen: Screen
) -> list[Delivery]:
    """The deliveries, with a warning where no word can be highlighted."""

    def deliver(recording: Recording, delivery: Delivery, transcript: Transcript) -> None:
        delivery(transcript)
        if transcript.text and not transcript.words:
            name = recording.shown_name
            screen.warning(f"{name}: no word is highlighted, because word times are not known.")

    pairs = zip(recordings, deliveries, strict=True)
    return [partial(deliver, recording, delivery) for recording, delivery in pairs]


def distinct_stems(stems: Sequence[str], is_free: Callable[[str], bool]) -> list[str]:
    """The stems with -2, -3, ... behind those that an earlier one has taken or that are not free.

    Names that differ only in case or in how accents are composed are the same file on a Mac. A
    number is passed over where it would make the name of another recording.
    """
    own_names = {_same_on_a_mac(stem) for stem in stems}
    taken: set[str] = set()
    chosen = []
    for stem in stems:
        name, number = stem, 1
        while (
            _same_on_a_mac(name) in taken
            or (number > 1 and _same_on_a_mac(name) in own_names)
            or not is_free(name)
        ):
            number += 1
            name = f"{stem}-{number}"
        taken.add(_same_on_a_mac(name))
        chosen.append(name)
    return chosen


def _same_on_a_mac(name: str) -> str:
    return unicodedata.normalize("NFC", name.casefold())


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"-o {folder}: the folder cannot be made ({error.strerror}).") from error
    if not os.access(folder, os.W_OK | os.X_OK):
        raise UsageError(f"-o {folder}: you may not write to this folder.")


def _check_length(paths: Sequence[Path], recording: Recording) -> None:
    for path in paths:
        try:
            path.stat()
        except OSError as error:
            if error.errno == errno.ENAMETOOLONG:
                raise UsageError(
                    f"{recording.shown_name}: its output would have a name that is too long; "
                    "give the recording a shorter one."
                ) from error


def _identity(path: Path) -> tuple[int, int] | None:
    """What two names of one file have in common; None if there is no such file."""
    try:
        status = path.stat()
    except (OSError, ValueError):
        return None
    return status.st_dev, status.st_ino


def _print_text(screen: Screen, writer: Writer, heading: str, transcript: Transcript) -> None:
    screen.result(f"{heading}{writer(transcript)}\n")


def _print_json_line(screen: Screen, recording: Recording, transcript: Transcript) -> None:
    record = {"file": recording.name, **to_record(transcript)}
    screen.result(json.dumps(record, ensure_ascii=False, allow_nan=False) + "\n")


def _save(
    screen: Screen,
    recording: Recording,
    paths: Sequence[Path],
    subtitles: SubtitleOptions,
    transcript: Transcript,
) -> None:
    for path in paths:
        transcript.save(path, subtitles)
        screen.note(f"{recording.shown_name} -> {shown(str(path))}")
