"""The recordings in a folder and in those below it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass

from granite_mlx.audio.suffixes import SUFFIXES, looks_like_recording


@dataclass(frozen=True)
class Found:
    """A recording, or a folder with the reason why nothing was found there."""

    path: str
    trouble: str | None = None


def find_recordings(folder: str) -> Iterator[Found]:
    """All recordings in a folder, by name, then those of each folder in it.

    Hidden files and folders are passed over. A link to a file counts as the file; one to a folder
    is not followed, so that no loop of links has no end. What cannot be read is told as such.
    """
    n_found = 0
    waiting = [folder]
    while waiting:
        here = waiting.pop()
        try:
            files, folders = _listing(here)
        except OSError as error:
            n_found += 1
            yield Found(here, f"this folder cannot be read ({error.strerror}).")
            continue
        n_found += len(files)
        yield from map(Found, files)
        waiting += reversed(folders)
    if not n_found:
        yield Found(folder, f"this folder holds no recordings ({' '.join(sorted(SUFFIXES))}).")


def _listing(folder: str) -> tuple[list[str], list[str]]:
    """The recordings and the folders in one folder, each sorted by name."""
    files, folders = [], []
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.startswith("."):
                continue
            if entry.is_dir(follow_symlinks=False):
                folders.append(entry.path)
            elif looks_like_recording(entry.name) and _is_file_or_broken(entry):
                files.append(entry.path)
    return sorted(files), sorted(folders)


def _is_file_or_broken(entry: os.DirEntry[str]) -> bool:
    """A file, or a link that leads nowhere, which is to be told and not passed over."""
    try:
        return entry.is_file() or (entry.is_symlink() and not os.path.exists(entry.path))
    except OSError:  # a link to itself
        return True
