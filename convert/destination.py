"""A folder that is there whole or not at all.

It is filled under another name beside its place and renamed at the end. Whatever goes wrong
before that leaves the place as it was.
"""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from granite_mlx.errors import ConversionError
from granite_mlx.model.folder import CONFIG_NAME

FULL = (errno.ENOSPC, errno.EDQUOT)
SPARE_BYTES = 1 << 20  # for headers and the small files that are written besides


class Destination:
    """Where a conversion goes.

    With `force` an earlier conversion in that place is replaced, once the new one is whole.
    """

    def __init__(self, path: str | os.PathLike[str], *, force: bool) -> None:
        """Checks what can be checked before the source is known.

        Raises:
            ConversionError: something is in that place that may not be replaced.
        """
        self.given = os.fspath(path)
        self._force = force
        # A link to a folder stays: what it leads to is replaced.
        self._path = Path(os.path.realpath(os.path.expanduser(self.given)))
        self._check_place()

    def keep_apart_from(self, source: Path) -> None:
        """Refuse a source that the conversion would change or, with force, delete.

        Raises:
            ConversionError: one of the two folders is or contains the other.
        """
        source = Path(os.path.realpath(source))
        if _is_in(self._path, source) or _is_in(source, self._path):
            raise ConversionError(
                f"{self.given} and the source {source} are the same folder or one is in the other; "
                "conversion leaves its source as it is, give another destination."
            )

    def check_space(self, n_bytes: int) -> None:
        """Refuse a result of `n_bytes` that the disk has no room for.

        Raises:
            ConversionError: naming what is needed and what is free.
        """
        place = next(parent for parent in self._path.parents if parent.is_dir())
        free, needed = shutil.disk_usage(place).free, n_bytes + SPARE_BYTES
        if needed > free:
            raise ConversionError(
                f"{self.given} needs {needed / 1e9:.2f} GB, but the disk has {free / 1e9:.2f} GB "
                "free; make room, or give a destination on another disk."
            )

    @contextmanager
    def filled(self) -> Iterator[Path]:
        """A new folder to fill; it takes its place when the block ends, and is removed if it fails.

        Raises:
            ConversionError: the disk is full, or the place is not free any more.
            OSError: the folder cannot be made.
        """
        partial = self._beside("partial")
        made = [parent for parent in self._path.parents if not parent.exists()]
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._remove_leftovers()
            partial.mkdir()
            yield partial
            self._put_in_place(partial)
        except BaseException as error:
            shutil.rmtree(partial, ignore_errors=True)
            for parent in made:
                with suppress(OSError):
                    parent.rmdir()
            if isinstance(error, OSError) and error.errno in FULL:
                raise ConversionError(
                    f"the disk is full: nothing was kept of {self.given}; make room, or give a "
                    "destination on another disk."
                ) from error
            raise

    def _check_place(self) -> None:
        path = self._path
        if not path.name:
            raise ConversionError(f"{self.given} cannot be replaced; give the name of a folder.")
        if not os.path.lexists(path):
            return
        if not path.is_dir():
            raise ConversionError(f"{self.given} is a file; give the name of a new folder.")
        if not self._force:
            raise ConversionError(
                f"{self.given} exists already; give another destination, or --force (in Python "
                "force=True) to replace it."
            )
        if any(path.iterdir()) and not (path / CONFIG_NAME).is_file():
            raise ConversionError(
                f"{self.given} holds no checkpoint, so --force does not replace it either; "
                "give another destination."
            )

    def _put_in_place(self, partial: Path) -> None:
        self._check_place()  # it may have been taken in the meantime
        if not self._path.exists():
            partial.rename(self._path)
            return
        replaced = self._beside("replaced")
        self._path.rename(replaced)
        try:
            partial.rename(self._path)
        except BaseException:
            replaced.rename(self._path)
            raise
        shutil.rmtree(replaced, ignore_errors=True)

    def _beside(self, what: str) -> Path:
        return self._path.with_name(f".{self._path.name}.{what}-{os.getpid()}")

    def _remove_leftovers(self) -> None:
        """What processes that were killed have left of this destination."""
        start = self._beside("partial").name.rpartition("-")[0] + "-"
        for path in self._path.parent.iterdir():
            pid = path.name.removeprefix(start)
            if pid != path.name and pid.isdecimal() and not _is_another_running(int(pid)):
                shutil.rmtree(path, ignore_errors=True)


def _is_in(inner: Path, outer: Path) -> bool:
    """Whether a folder is another one or in it; compared as files, since case may not matter."""
    return outer.exists() and any(
        os.path.samefile(path, outer) for path in (inner, *inner.parents) if path.exists()
    )


def _is_another_running(pid: int) -> bool:
    """Whether a process of this number runs that is not this one."""
    if pid == os.getpid():
        return False
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        pass  # it runs, as another user
    return True
