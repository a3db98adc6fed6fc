"""The manifest: a line of JSON for each recording that is done or has failed, written at once."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, BinaryIO

from granite_mlx.cli.failures import UsageError
from granite_mlx.cli.inputs import Recording
from granite_mlx.cli.naming import same_on_a_mac

VERSION = 1
DONE, FAILED = "done", "failed"
BEGINNING = b'{"manifest_version": '
"""Of each line, by which one that a crash has cut off is told from another file's."""


class ManifestError(UsageError):
    """The manifest cannot be written any more; no later recording can fare better."""


@dataclass(frozen=True)
class Entry:
    """How one recording fared. Paths are absolute; `options` is a digest of what was asked."""

    input: str
    outputs: tuple[str, ...]
    status: str
    options: str
    size_bytes: int | None = None
    modified_ns: int | None = None
    duration_s: float | None = None
    wall_s: float | None = None
    model: str | None = None
    error: str | None = None

    def made_alike(self, other: Entry) -> bool:
        """The same recording, as it was then, and the same options."""
        mine = (self.input, self.size_bytes, self.modified_ns, self.options)
        return mine == (other.input, other.size_bytes, other.modified_ns, other.options)


@dataclass
class Records:
    """What a manifest says so far."""

    _latest: dict[str, Entry] = field(default_factory=dict)
    _owners: dict[str, tuple[str, str]] = field(default_factory=dict)
    """By an output's name as a Mac knows it: the input, and the output's name as it is."""

    def add(self, entry: Entry) -> None:
        """A later entry stands for the earlier ones of the same input.

        Where the same was asked of the same recording in another format, both outputs stand.
        """
        if entry.status != DONE:
            return
        before = self._latest.get(entry.input)
        if before is not None and before.made_alike(entry):
            outputs = dict.fromkeys(before.outputs + entry.outputs)
            entry = replace(entry, outputs=tuple(outputs))
        self._latest[entry.input] = entry
        for output in entry.outputs:
            self._owners[same_on_a_mac(output)] = entry.input, output

    def outputs_of(self, recording: Recording) -> tuple[str, ...]:
        """What the recording was last written to."""
        entry = self._latest.get(input_name(recording))
        return () if entry is None or recording.is_stdin else entry.outputs

    def is_free_for(self, recording: Recording, path: Path) -> bool:
        """No other recording's transcript lies there."""
        owned = self._owners.get(same_on_a_mac(os.path.realpath(path)))
        if owned is None:
            return True
        owner, output = owned
        return owner == input_name(recording) or not os.path.lexists(output)

    def has_done(self, recording: Recording, outputs: Sequence[Path], options: str) -> bool:
        """These outputs were made with these options, of the recording as it is now."""
        entry = self._latest.get(input_name(recording))
        return (
            entry is not None
            and not recording.is_stdin
            and bool(outputs)
            and entry.options == options
            and (entry.size_bytes, entry.modified_ns) == input_state(recording)
            and set(entry.outputs) >= {os.path.realpath(path) for path in outputs}
            and all(map(os.path.isfile, outputs))
        )


class Manifest:
    """A manifest that is being written; `records` holds what it said when it was opened."""

    def __init__(self, path: Path) -> None:
        """Read a manifest and open it to add to it; a missing one is made.

        Raises:
            UsageError: it cannot be opened, or is another kind of file.
        """
        self.path = path
        if path.exists() and not path.is_file():
            raise UsageError(f"--manifest {path}: it is no plain file; name one, or a new one.")
        try:
            with open(path, "ab+", buffering=0):
                pass
            self.records, is_cut_off = _read(path)
            self._file: BinaryIO = open(path, "ab", buffering=0)  # noqa: SIM115
            if is_cut_off:
                self._file.write(b"\n")
        except OSError as error:
            raise UsageError(
                f"--manifest {path}: it cannot be opened ({error.strerror})."
            ) from error

    def write(self, entry: Entry) -> None:
        """Add one line, which is on the disk when this returns.

        Raises:
            ManifestError: it could not be written.
        """
        record = {"manifest_version": VERSION, **asdict(entry)}
        line = json.dumps(record, ensure_ascii=False, allow_nan=False) + "\n"
        # A lone surrogate, which stands for a byte of a name, becomes its own escape.
        data = line.encode("utf-8", "backslashreplace")
        try:
            if self._file.write(data) != len(data):
                raise OSError(None, "the disk is full")
            os.fsync(self._file.fileno())
        except OSError as error:
            raise ManifestError(f"--manifest {self.path}: {error.strerror}; stopped.") from error

    def __enter__(self) -> Manifest:
        return self

    def __exit__(self, *exception: object) -> None:
        self._file.close()


def input_name(recording: Recording) -> str:
    """What a manifest calls a recording: its path, through links to folders but not to it."""
    if recording.is_stdin:
        return recording.argument
    folder, name = os.path.split(os.path.abspath(recording.argument))
    return os.path.join(os.path.realpath(folder), name)


def input_state(recording: Recording) -> tuple[int | None, int | None]:
    """Size in bytes and time of the last change in ns: another state is another recording."""
    try:
        status = None if recording.is_stdin else os.stat(recording.argument)
    except OSError:
        status = None
    if status is None:
        return None, None
    return status.st_size, status.st_mtime_ns


def _read(path: Path) -> tuple[Records, bool]:
    """What a manifest says, and whether a crash has cut off its last line."""
    records, line = Records(), b""
    with open(path, "rb") as file:
        for number, line in enumerate(file, 1):
            entry = _entry(line)
            if entry is not None:
                records.add(entry)
            elif not line.startswith(BEGINNING) and not BEGINNING.startswith(line.rstrip(b"\n")):
                raise UsageError(
                    f"--manifest {path}: line {number} is none of a manifest; name another file, "
                    "or a new one."
                )
    return records, bool(line) and not line.endswith(b"\n")


def _entry(line: bytes) -> Entry | None:
    """The entry in a line; None if there is none, or one of a version that we do not know."""
    try:
        record: dict[str, Any] = json.loads(line)
        version = record.pop("manifest_version")
        entry = Entry(**record)
    except (ValueError, AttributeError, KeyError, TypeError):
        return None
    outputs = entry.outputs
    well_formed = (
        version == VERSION
        and isinstance(entry.input, str)
        and isinstance(outputs, list)
        and all(isinstance(output, str) for output in outputs)
    )
    return Entry(**{**record, "outputs": tuple(outputs)}) if well_formed else None
