"""The folder of results: finished shards, and the rows that wait to fill the next one.

One process writes it. A row is on the disk before the next one begins: in the open file, which
becomes a shard when it is full and when the work ends. What counts as done is what stands in one of
them, so that nothing has to agree with anything else after a crash.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

from granite_mlx.corpus.errors import CorpusError
from granite_mlx.corpus.rows import Row, key_of, line_of
from granite_mlx.corpus.shards import (
    Format,
    next_shard,
    read_rows,
    shards_in,
    sync_folder,
    write_shard,
)
from granite_mlx.locking import AT_WORK, opened_alone

SETTINGS, FAILED = "settings.json", "failed.jsonl"
LOCK, OPEN, FILES = ".lock", ".open.jsonl", ".files.jsonl"
VERSION = 1


class Store:
    """An archive's results, locked for this process."""

    def __init__(
        self,
        folder: Path,
        settings: Mapping[str, Any],
        shard_format: Format = "jsonl",
        shard_files: int = 1000,
    ) -> None:
        """Open the folder, or make it.

        Args:
            settings: what was asked of the model; JSON values.
            shard_format: of shards that are written from now on.
            shard_files: rows of a shard.

        Raises:
            CorpusError: it holds the results of other settings or damaged ones, is in use by
                another process, or cannot be written.
        """
        self.folder = folder
        self._format: Format = shard_format
        self._shard_files = shard_files
        self._keys: set[tuple[str, str]] = set()
        self._places: dict[str, Path] = {}
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._lock = _locked(folder / LOCK)
        except OSError as error:
            raise CorpusError(f"-o {folder}: it cannot be written ({error.strerror}).") from error
        try:
            self._check(settings)
            self._open = self._opened()
            self.failures = _read_failures(folder / FAILED)
            self._failed: BinaryIO | None = None  # made by the first failure
        except BaseException as error:
            self._lock.close()
            if isinstance(error, OSError):
                raise CorpusError(f"-o {folder}: {error.strerror}.") from error
            raise

    def has(self, sha256: str, name: str) -> bool:
        """This content has its row under this name."""
        return (sha256, name) in self._keys

    def row(self, sha256: str) -> Row | None:
        """A row of this content, under whichever name."""
        place = self._places.get(sha256)
        if place is None:
            return None
        return next(row for row in read_rows(place) if row["sha256"] == sha256)

    def add(self, row: Row) -> None:
        """Keep a row, which is on the disk when this returns; a second time it is passed over.

        OSError where it cannot be written.
        """
        if key_of(row) in self._keys:
            return
        _write(self._open, line_of(row))
        self._note(row, self.folder / OPEN)
        self.failures.pop(row["audio"], None)
        if self._n_open >= self._shard_files:
            self._close_shard()

    def set_aside(self, failure: Mapping[str, Any]) -> None:
        """Tell of a file that could not be done: a line of docs/files.md with its `input`."""
        self.failures[failure["input"]] = dict(failure)
        if self._failed is None:
            self._failed = _continued(self.folder / FAILED)
        _write(self._failed, line_of(failure))

    def finish(self) -> None:
        """Make a shard of the last rows, and leave in failed.jsonl only what is still so."""
        if self._n_open:
            self._close_shard()
        self._close_failed()
        path = self.folder / FAILED
        if self.failures:
            part = path.with_name(f".{FAILED}.part")
            with open(part, "wb") as file:
                file.writelines(map(line_of, self.failures.values()))
                file.flush()
                os.fsync(file.fileno())
            os.replace(part, path)
        else:
            path.unlink(missing_ok=True)

    def close(self) -> None:
        """Let another process have the folder. What is in the open file stays there."""
        self._close_failed()
        self._open.close()
        self._lock.close()

    def __enter__(self) -> Store:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _close_failed(self) -> None:
        if self._failed is not None:
            self._failed.close()
            self._failed = None

    def _check(self, settings: Mapping[str, Any]) -> None:
        path = self.folder / SETTINGS
        now = json.loads(json.dumps({"version": VERSION, **settings}))
        if not path.exists():
            if shards_in(self.folder):
                raise CorpusError(
                    f"-o {self.folder}: it holds shards without {SETTINGS}; name another folder."
                )
            part = path.with_name(f".{SETTINGS}.part")
            part.write_text(json.dumps(now, indent=1) + "\n", encoding="utf-8")
            os.replace(part, path)
            return
        before = read_settings(self.folder)
        changed = [name for name in {**before, **now} if before.get(name) != now.get(name)]
        if changed:
            raise CorpusError(
                f"-o {self.folder}: the results there were asked with another "
                f"{', '.join(changed)}; name another folder, or repeat its command to go on."
            )

    def _opened(self) -> BinaryIO:
        for shard in shards_in(self.folder):
            for row in read_rows(shard):
                self._note(row, shard)
        self._n_open = 0
        path = self.folder / OPEN
        file: BinaryIO = open(path, "ab", buffering=0)  # noqa: SIM115
        whole = path.read_bytes().rfind(b"\n") + 1
        os.truncate(path, whole)
        rows = list(read_rows(path))
        if rows and all(key_of(row) in self._keys for row in rows):
            # A crash came between the shard and this file's end.
            os.truncate(path, 0)
            return file
        for row in rows:
            self._note(row, path)
        return file

    def _note(self, row: Row, place: Path) -> None:
        self._keys.add(key_of(row))
        self._places[row["sha256"]] = place
        if place.name == OPEN:
            self._n_open += 1

    def _close_shard(self) -> None:
        path = self.folder / OPEN
        shard = next_shard(self.folder, self._format)
        self._open.close()
        if self._format == "jsonl":
            os.replace(path, shard)  # the rows are on the disk, and the name is all that is new
            sync_folder(self.folder)
        else:
            write_shard(shard, read_rows(path))
            path.unlink()
        self._places = {
            content: shard if place == path else place for content, place in self._places.items()
        }
        self._n_open = 0
        self._open = open(path, "ab", buffering=0)  # noqa: SIM115


def read_settings(folder: Path) -> dict[str, Any]:
    """What the results in a folder were asked with.

    Raises:
        CorpusError: there are none.
    """
    try:
        settings = json.loads((folder / SETTINGS).read_bytes())
    except OSError as error:
        raise CorpusError(
            f"{folder}: its {SETTINGS} cannot be read ({error.strerror}); name a folder that "
            "granite-mlx corpus has written."
        ) from error
    except ValueError as error:
        raise CorpusError(f"{folder}: its {SETTINGS} is damaged; name another folder.") from error
    if not isinstance(settings, dict):
        raise CorpusError(f"{folder}: its {SETTINGS} is damaged; name another folder.")
    return settings


def rows_in(folder: Path) -> Iterator[Row]:
    """All rows of a folder that nobody is writing, those of the open file too."""
    seen = set()
    for shard in shards_in(folder):
        for row in read_rows(shard):
            seen.add(key_of(row))
            yield row
    path = folder / OPEN
    if path.exists():
        yield from (row for row in _whole_rows(path) if key_of(row) not in seen)


def _whole_rows(path: Path) -> Iterator[Row]:
    """Without a last one that a crash has cut off."""
    for line in path.read_bytes().split(b"\n")[:-1]:
        try:
            row: Row = json.loads(line)
            row["sha256"], row["id"], row["transcript"]
        except (ValueError, KeyError, TypeError) as error:
            raise CorpusError(
                f"{path} is damaged ({error}); delete it, and its recordings are done again."
            ) from error
        yield row


def _continued(path: Path) -> BinaryIO:
    """To add lines to, after one that a crash has cut off too."""
    file: BinaryIO = open(path, "ab", buffering=0)  # noqa: SIM115  # the store closes it
    if file.tell() and not path.read_bytes().endswith(b"\n"):
        file.write(b"\n")
    return file


def failures_in(folder: Path) -> list[dict[str, Any]]:
    """What a folder tells of the files that could not be done."""
    return list(_read_failures(folder / FAILED).values())


def _locked(path: Path) -> BinaryIO:
    try:
        return opened_alone(path)
    except BlockingIOError as error:
        raise CorpusError(f"-o {path.parent}: {AT_WORK}") from error


def _read_failures(path: Path) -> dict[str, dict[str, Any]]:
    if not path.exists():
        return {}
    failures = {}
    for line in path.read_bytes().split(b"\n"):
        try:
            record = json.loads(line)
            failures[record["input"]] = record
        except (ValueError, KeyError, TypeError):
            continue  # empty, or cut off by a crash: its file is tried again
    return failures


def _write(file: BinaryIO, data: bytes) -> None:
    if file.write(data) != len(data):
        raise OSError(None, "the disk is full", file.name)
    os.fsync(file.fileno())
