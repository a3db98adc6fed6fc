"""The server's own temporary folder: what it holds of uploads lies there, and nowhere else.

The uploads in it have no names (uploads.py), so that nothing of them is left however the process
ends. The folder itself is left by a process that was killed; the next server clears it away.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import stat
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO

PREFIX = "granite-mlx-serve-"
LOCK = "lock"
YOUNG_S = 60.0
"""A folder without a lock may be one that is just being made."""


@contextlib.contextmanager
def own_folder() -> Iterator[Path]:
    """A new folder, locked as long as the server runs; what killed ones left goes first."""
    clear_stale()
    folder = Path(tempfile.mkdtemp(prefix=PREFIX))
    try:
        with open(folder / LOCK, "wb") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def clear_stale() -> None:
    """Remove this user's folders whose server runs no more."""
    for folder in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        with contextlib.suppress(OSError):  # somebody else clears it at the same time
            found = folder.lstat()
            if stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid():
                _clear_if_stale(folder, time.time() - found.st_mtime)


def _clear_if_stale(folder: Path, age_s: float) -> None:
    try:
        lock: IO[bytes] = open(folder / LOCK, "rb")  # noqa: SIM115  # closed below
    except FileNotFoundError:
        if age_s > YOUNG_S:
            shutil.rmtree(folder, ignore_errors=True)
        return
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:  # its server runs
            return
        shutil.rmtree(folder, ignore_errors=True)
