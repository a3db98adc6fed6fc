"""A file that one process at a time adds to."""

from __future__ import annotations

import fcntl
from pathlib import Path
from typing import BinaryIO

AT_WORK = "another process is at work there; wait for it, or name another folder."


def opened_alone(path: Path) -> BinaryIO:
    """The file, unbuffered, to be added to by nobody else as long as it is open.

    Raises:
        BlockingIOError: another process has it.
    """
    file: BinaryIO = open(path, "ab", buffering=0)  # noqa: SIM115  # the caller's to close
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        raise
    return file
