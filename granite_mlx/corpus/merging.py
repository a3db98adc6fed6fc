"""Several folders of results become one: of parts that machines have done by themselves."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from granite_mlx.corpus.errors import CorpusError
from granite_mlx.corpus.rows import Row, key_of
from granite_mlx.corpus.shards import Format
from granite_mlx.corpus.store import FILES, LOCK, OPEN, Store, failures_in, read_settings, rows_in
from granite_mlx.locking import AT_WORK


def merge(
    folders: Sequence[Path], out: Path, shard_format: Format = "jsonl", shard_files: int = 1000
) -> tuple[int, int]:
    """Write the rows of all folders into a new one. -> numbers of rows, and of files set aside.

    A row that several of them have comes once, and what one of them has done has not failed. The
    folder appears when it is whole.

    Raises:
        CorpusError: two results for one content, other settings, a folder that another process
            is at work in, or one to write to that is not empty.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise CorpusError(f"-o {out}: it is not empty; name a new folder to merge into.")
    settings = _common_settings(folders)
    with contextlib.ExitStack() as stack:
        for folder in folders:
            stack.enter_context(_left_alone(folder))
        return _merged(folders, out, settings, shard_format, shard_files)


def _merged(
    folders: Sequence[Path],
    out: Path,
    settings: dict[str, Any],
    shard_format: Format,
    shard_files: int,
) -> tuple[int, int]:
    out.parent.mkdir(parents=True, exist_ok=True)
    beside = Path(tempfile.mkdtemp(prefix=f".{out.name}-", suffix=".part", dir=out.parent))
    try:
        beside.chmod(0o777 & ~_umask())
        with Store(beside, settings, shard_format, shard_files) as store:
            n_rows = 0
            done = set()
            for row in _rows(folders):
                n_rows += 1
                done.add(row["audio"])
                store.add(row)
            for failure in (one for folder in folders for one in failures_in(folder)):
                if failure["input"] not in done:
                    store.set_aside(failure)
            store.finish()
            n_failed = len(store.failures)
        for name in (LOCK, OPEN, FILES):
            (beside / name).unlink(missing_ok=True)
        os.replace(beside, out)
    finally:
        shutil.rmtree(beside, ignore_errors=True)
    return n_rows, n_failed


@contextlib.contextmanager
def _left_alone(folder: Path) -> Iterator[None]:
    """Nobody writes there meanwhile. The folder may be on a disk that we cannot write to."""
    if not (folder / LOCK).exists():  # as in one that was merged
        yield
        return
    with open(folder / LOCK, "rb") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise CorpusError(f"{folder}: {AT_WORK}") from error
        yield


def _common_settings(folders: Sequence[Path]) -> dict[str, Any]:
    first, *others = [read_settings(folder) for folder in folders]
    for folder, other in zip(folders[1:], others, strict=True):
        differing = [name for name in {**first, **other} if first.get(name) != other.get(name)]
        if differing:
            raise CorpusError(
                f"{folders[0]} and {folder} were asked with another {', '.join(differing)}; "
                "results of one archive are of one model, asked one way."
            )
    first.pop("version", None)
    return first


def _rows(folders: Sequence[Path]) -> Iterator[Row]:
    results: dict[str, tuple[bytes, Path]] = {}
    seen = set()
    ids: dict[str, tuple[str, Path]] = {}
    for folder in folders:
        for row in rows_in(folder):
            content = row["sha256"]
            result, before = results.setdefault(content, (_result(row), folder))
            if result != _result(row):
                raise CorpusError(
                    f"{before} and {folder} have two different results for one recording "
                    f"({row['id']}, SHA-256 {content[:16]}...); delete the folder that is wrong, "
                    "or do its part again."
                )
            other, before = ids.setdefault(row["id"], (content, folder))
            if other != content and before != folder:
                raise CorpusError(
                    f"{before} and {folder} have two recordings called {row['id']}: it has changed "
                    "between them, or two machines use one name for two files."
                )
            if key_of(row) not in seen:
                seen.add(key_of(row))
                yield row


def _result(row: Row) -> bytes:
    """A digest of what was found, without how long it took and who did it."""
    text = json.dumps(row["transcript"], sort_keys=True)
    return hashlib.sha256(text.encode()).digest()


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
