"""Where each transcript goes: to stdout, or to files whose names never collide."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path, PurePath

from granite_mlx.cli.arguments import ALL_FORMATS
from granite_mlx.cli.failures import UsageError
from granite_mlx.cli.inputs import Recording
from granite_mlx.cli.manifest import Records
from granite_mlx.cli.naming import Name, distinct_numbers
from granite_mlx.cli.screen import Screen, shown
from granite_mlx.cli.template import OutputName
from granite_mlx.transcript import FORMATS, SubtitleOptions, Transcript
from granite_mlx.transcript.schema import to_record
from granite_mlx.transcript.writers import Writer, writers

Delivery = Callable[[Transcript], None]
"""Brings one recording's transcript where it belongs."""

TOO_LONG = (
    "its output would have a name that is too long; give the recording a shorter one, or use "
    "--output-template."
)


@dataclass(frozen=True)
class Job:
    """A recording, the files that its transcript goes to (none for stdout), and the way there."""

    recording: Recording
    outputs: tuple[Path, ...]
    deliver: Delivery


def job_without_output(recording: Recording) -> Job:
    """For a recording that is known not to be readable: it takes no name from others."""

    def deliver(transcript: Transcript) -> None:
        raise RuntimeError(f"{recording.name} has a transcript, and no place for it")

    return Job(recording, (), deliver)


def formats_of(output_format: str) -> tuple[str, ...]:
    """What -f stands for."""
    return FORMATS if output_format == ALL_FORMATS else (output_format,)


def jobs_to_stdout(
    recordings: Sequence[Recording],
    output_format: str,
    screen: Screen,
    subtitles: SubtitleOptions,
) -> list[Job]:
    """One job for each recording: text, under its name if there are several, or JSON Lines.

    Raises:
        UsageError: all formats at once, which stdout cannot hold.
    """
    if output_format == ALL_FORMATS:
        raise UsageError("-f all writes several files for each input and needs -o DIR.")
    if output_format == "json":
        return [Job(one, (), partial(_print_json_line, screen, one)) for one in recordings]
    write = partial(_print_text, screen, writers(subtitles)[output_format])
    if len(recordings) == 1:
        return [Job(recordings[0], (), partial(write, ""))]
    return [Job(one, (), partial(write, f"== {one.shown_name} ==\n")) for one in recordings]


def jobs_to_folder(
    names: Sequence[OutputName],
    folder: Path,
    screen: Screen,
    subtitles: SubtitleOptions,
    *,
    protected: Iterable[Path],
    records: Records,
) -> list[Job]:
    """One job for each recording into a folder.

    `protected` files stay as they are, and so do the transcripts of other recordings that
    `records` tell of; a recording that they know keeps the name that it had.
    """
    kept = {identity for path in protected if (identity := _identity(path)) is not None}

    def is_free(place: int, path: PurePath) -> bool:
        here = Path(path)
        return _identity(here) not in kept and records.is_free_for(names[place].recording, here)

    def real_paths(name: OutputName, number: int) -> list[PurePath]:
        # Two names of one file through a link must not be two outputs.
        return [PurePath(os.path.realpath(folder / path)) for path in name.numbered(number)]

    wanted = [partial(real_paths, name) for name in names]
    settled = {
        place: number
        for place, name in enumerate(names)
        if (number := _earlier_number(wanted[place], records.outputs_of(name.recording)))
        and all(is_free(place, path) for path in wanted[place](number))
    }
    numbers = distinct_numbers(wanted, is_free, settled)
    return [
        _job(name, number, folder, screen, subtitles)
        for name, number in zip(names, numbers, strict=True)
    ]


def warn_without_words(job: Job, screen: Screen) -> Job:
    """A job that warns where no word can be highlighted."""

    def deliver(transcript: Transcript) -> None:
        job.deliver(transcript)
        if transcript.text and not transcript.words:
            name = job.recording.shown_name
            screen.warning(f"{name}: no word is highlighted, because word times are not known.")

    return replace(job, deliver=deliver)


def make_folder(folder: Path) -> None:
    """Make the output folder.

    Raises:
        UsageError: it cannot be made or written to.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"-o {folder}: the folder cannot be made ({error.strerror}).") from error
    if not os.access(folder, os.W_OK | os.X_OK):
        raise UsageError(f"-o {folder}: you may not write to this folder.")


def _job(
    name: OutputName, number: int, folder: Path, screen: Screen, subtitles: SubtitleOptions
) -> Job:
    recording, paths = name.recording, tuple(folder / path for path in name.numbered(number))
    if number > 1:
        plain = name.numbered(1)[0]
        screen.warning(
            f"{recording.shown_name}: its output is named {shown(paths[0].stem)}, "
            f"because {shown(plain.stem)} is taken."
        )
    if any(_is_too_long(folder, path) for path in paths):
        recording = replace(recording, trouble=TOO_LONG)
    return Job(recording, paths, partial(_save, screen, recording, paths, subtitles))


def _earlier_number(wanted: Name, outputs: Sequence[str]) -> int | None:
    """The number that a recording's outputs had in an earlier run, if they had these names."""
    # A number stands behind a dash: what else does may be tried too.
    digits = {int(part) for path in outputs for part in _numbers_in(os.path.basename(path))}
    for number in (1, *sorted(digits - {0, 1})) if outputs else ():
        if not {str(path) for path in wanted(number)}.isdisjoint(outputs):
            return number
    return None


def _numbers_in(name: str) -> Iterator[str]:
    for part in name.replace(".", "-").split("-"):
        if part.isascii() and part.isdigit() and len(part) < 10:
            yield part


def _is_too_long(folder: Path, path: Path) -> bool:
    """The disk does not allow a path of this length, or one of the names in it."""
    # Each part is looked up in the folder that exists: its length counts wherever it will be.
    for place in (path, *(folder / part for part in path.relative_to(folder).parts)):
        try:
            os.stat(place)
        except OSError as error:
            if error.errno == errno.ENAMETOOLONG:
                return True
    return False


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
        _make_parent(path)
        transcript.save(path, subtitles)
        screen.note(f"{recording.shown_name} -> {shown(str(path))}")


def _make_parent(path: Path) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except FileExistsError as error:
        raise OSError(f"{path.parent} is a file, where its output needs a folder.") from error
