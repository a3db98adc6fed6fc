"""The content and the length of each file, read once: what is unchanged since is not read again."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path

from granite_mlx.corpus.items import State
from granite_mlx.errors import AudioError

N_AT_ONCE = 4
"""Hashing leaves the interpreter alone, and disks and networks like to be asked several things."""

Fate = State | Exception


class Census:
    """The states of files, and a cache of them in a file that is added to.

    The cache saves time and nothing else: a line that a crash has cut off is passed over.
    """

    def __init__(self, cache: Path) -> None:
        self._cache = cache
        self._known = dict(_read(cache))

    def take(
        self, paths: Iterable[str], on_progress: Callable[[int], None] = lambda n_done: None
    ) -> dict[str, Fate]:
        """The state of each file, or why it cannot be read."""
        distinct = list(dict.fromkeys(paths))
        fates: dict[str, Fate] = {}
        with (
            open(self._cache, "ab") as cache,
            ThreadPoolExecutor(N_AT_ONCE) as threads,
        ):
            if cache.tell() and not _ends_with_a_line(self._cache):
                cache.write(b"\n")
            for path, (fate, is_new) in zip(
                distinct, threads.map(self._one, distinct), strict=True
            ):
                fates[path] = fate
                if is_new and isinstance(fate, State):
                    cache.write(json.dumps({"audio": path, **asdict(fate)}).encode() + b"\n")
                on_progress(len(fates))
        return fates

    def _one(self, path: str) -> tuple[Fate, bool]:
        try:
            status = os.stat(path)
            known = self._known.get(path)
            if known is not None and (known.size_bytes, known.modified_ns) == (
                status.st_size,
                status.st_mtime_ns,
            ):
                return known, False
            return _state(path, status), True
        except FileNotFoundError:
            return AudioError("there is no such file."), True
        except Exception as error:
            return error, True


def sha256_of(path: str) -> str:
    """Of a file's bytes. OSError where it cannot be read."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _state(path: str, status: os.stat_result) -> State:
    from granite_mlx.audio.files import open_audio
    from granite_mlx.audio.stream import Part

    if os.path.isdir(path):
        raise AudioError("this is a folder; add --recursive to take the recordings in it.")
    with open_audio(path, Part(0.0, None, None)) as stream:
        duration_s = stream.duration_s
    return State(status.st_size, status.st_mtime_ns, sha256_of(path), duration_s)


def _read(cache: Path) -> Iterator[tuple[str, State]]:
    try:
        lines: Sequence[bytes] = cache.read_bytes().splitlines()
    except FileNotFoundError:
        return
    for line in lines:
        try:
            record = json.loads(line)
            yield record.pop("audio"), State(**record)
        except (ValueError, TypeError, KeyError, AttributeError):
            continue


def _ends_with_a_line(path: Path) -> bool:
    with open(path, "rb") as file:
        file.seek(-1, os.SEEK_END)
        return file.read(1) == b"\n"
