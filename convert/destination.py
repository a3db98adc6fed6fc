"""A folder that is there whole or not at all.

It is filled under another name beside its place and renamed at the end. Whatever goes wrong
before that leaves the place as it was. A folder that is being worked on is locked, so that one
whose process was killed can be told from the others, in whatever container they run.
"""

from __future__ import annotations

import atexit
import errno
import fcntl
import os
import re
import secrets
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial as bind
from pathlib import Path

from granite_mlx.convert.beside import is_written
from granite_mlx.convert.manifest import MANIFEST_NAME
from granite_mlx.errors import ConversionError
from granite_mlx.model.shards import check_utf_8

WHY_TOO_LARGE = {
    errno.ENOSPC: "the disk is full",
    errno.EDQUOT: "your share of the disk is full",
    errno.EFBIG: "the disk holds no file of this size (FAT32 ends at 4 GB)",
}
TAKEN = (errno.ENOTEMPTY, errno.EEXIST)
LONGEST_NAME_BYTES = 255  # of every file system that macOS and Linux write
SPARE_BYTES = 1 << 20  # for headers and the small files that are written besides

_LEFTOVER = re.compile(r"\.(?P<name>.+)\.(?P<what>partial|replaced)-[0-9a-f]{8}", re.DOTALL)


class Destination:
    """Where a conversion goes.

    With `force` an earlier conversion in that place is replaced, once the new one is whole.
    """

    def __init__(self, path: str | os.PathLike[str], *, force: bool) -> None:
        """Checks what can be checked before the source is known.

        What a conversion to this place that was killed has left there is cleared away.

        Raises:
            ConversionError: something is in that place that may not be replaced.
            CheckpointError: its name is no UTF-8.
        """
        self.given = os.fspath(path)
        check_utf_8(self.given)
        self._force = force
        # A link to a folder stays: what it leads to is replaced.
        self._path = Path(os.path.realpath(os.path.expanduser(self.given)))
        self._check_name()
        remove_leftovers(self._path.parent, self._path.name)
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
            partial.mkdir()
            with _locked(partial), _at_exit(bind(shutil.rmtree, partial, ignore_errors=True)):
                yield partial
                self._put_in_place(partial)
        except BaseException as error:
            shutil.rmtree(partial, ignore_errors=True)
            for parent in made:
                with suppress(OSError):
                    parent.rmdir()
            if isinstance(error, OSError) and error.errno in WHY_TOO_LARGE:
                raise ConversionError(
                    f"{WHY_TOO_LARGE[error.errno]}: nothing was kept of {self.given}; make room, "
                    "or give a destination on another disk."
                ) from error
            raise

    def _check_name(self) -> None:
        """Refuse places whose folder cannot be renamed, whatever is in them."""
        if not self.given:
            raise ConversionError("the destination has no name; give the name of a folder.")
        check_utf_8(str(self._path))
        if not self._path.name or _is_in(Path.cwd(), self._path):
            raise ConversionError(
                f"{self.given} is the current folder or one that it is in, and cannot be replaced; "
                "give the name of a new folder."
            )
        if len(os.fsencode(self._beside("replaced").name)) > LONGEST_NAME_BYTES:
            raise ConversionError(f"{self.given}: this name is too long; give a shorter one.")

    def _check_place(self) -> None:
        path = self._path
        parent = next(one for one in path.parents if os.path.lexists(one))
        if not parent.is_dir():
            raise ConversionError(f"{self.given}: {parent} is no folder; give another destination.")
        if not os.access(parent, os.W_OK | os.X_OK):
            raise ConversionError(
                f"{self.given}: nothing can be written in {parent}; give another destination."
            )
        if not os.path.lexists(path):
            return
        if not path.is_dir():
            raise ConversionError(f"{self.given} is a file; give the name of a new folder.")
        if not self._force:
            raise ConversionError(
                f"{self.given} exists already; give another destination, or --force (in Python "
                "force=True) to replace it."
            )
        _check_replaceable(path, self.given)

    def _put_in_place(self, partial: Path) -> None:
        self._check_place()  # it may have been taken in the meantime
        try:
            if self._path.exists():
                self._replace_with(partial)
            else:
                partial.rename(self._path)
        except OSError as error:
            if error.errno not in TAKEN:
                raise
            raise ConversionError(
                f"{self.given} was made by somebody else in the meantime, and is left as it is."
            ) from error

    def _replace_with(self, partial: Path) -> None:
        replaced = self._beside("replaced")
        with _locked(self._path):
            self._path.rename(replaced)
            try:
                partial.rename(self._path)
            except BaseException:
                replaced.rename(self._path)
                raise
            shutil.rmtree(replaced, ignore_errors=True)

    def _beside(self, what: str) -> Path:
        return self._path.with_name(f".{self._path.name}.{what}-{secrets.token_hex(4)}")


def remove_leftovers(folder: Path, name: str | None = None) -> None:
    """Clear away what conversions into a folder have left there when they were killed.

    An earlier result that was about to be replaced goes back to its place if that is empty; all
    else is deleted. What another process is at work on stays, and so does all where there are no
    locks.

    Args:
        folder: where the conversions lie; it need not exist.
        name: of the one conversion that it is about; None means all.
    """
    with suppress(OSError):
        for path in list(folder.iterdir()):
            match = _LEFTOVER.fullmatch(path.name)
            if match is not None and name in (None, match["name"]):
                _remove_leftover(path, match)


def _remove_leftover(path: Path, match: re.Match[str]) -> None:
    place = path.with_name(match["name"])
    with suppress(OSError), _locked(path) as is_ours:
        if not is_ours:
            return
        if match["what"] == "replaced" and not os.path.lexists(place):
            path.rename(place)
        else:
            shutil.rmtree(path, ignore_errors=True)


def _check_replaceable(path: Path, given: str) -> None:
    """With force a conversion is replaced, or an empty folder, and nothing else.

    Raises:
        ConversionError: the folder holds something else.
    """
    found = sorted(path.iterdir())
    if found and not (path / MANIFEST_NAME).is_file():
        raise ConversionError(
            f"{given} holds no conversion ({MANIFEST_NAME} is missing), so --force does not "
            "replace it either; remove it, or give another destination."
        )
    for entry in found:
        if not is_written(entry.name) or entry.is_dir():
            raise ConversionError(
                f"{given} holds {entry.name}, which is no part of a conversion, so --force does "
                "not replace it; move that elsewhere, or give another destination."
            )


@contextmanager
def _locked(folder: Path) -> Iterator[bool]:
    """Hold the lock of a folder, which ends with the process at the latest.

    Yields False where another process holds it, or the file system has no locks. Who makes a
    folder goes on even so; only who would remove one has to know.
    """
    number = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        yield _lock(number)
    finally:
        os.close(number)


def _lock(number: int) -> bool:
    try:
        fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


@contextmanager
def _at_exit(clean_up: Callable[[], None]) -> Iterator[None]:
    """Have the process clean up when it ends before the block does.

    A second Ctrl-C does not wait for the thread that works in the block.
    """
    atexit.register(clean_up)
    try:
        yield
    finally:
        atexit.unregister(clean_up)


def _is_in(inner: Path, outer: Path) -> bool:
    """Whether a folder is another one or in it; compared as files, since case may not matter."""
    return outer.exists() and any(
        os.path.samefile(path, outer) for path in (inner, *inner.parents) if path.exists()
    )
