"""Shards: files of rows that appear whole or not at all, as JSON lines or Parquet."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal, get_args

from granite_mlx.corpus.errors import CorpusError
from granite_mlx.corpus.rows import Row, line_of

Format = Literal["jsonl", "parquet"]
FORMATS: tuple[Format, ...] = get_args(Format)

NAME = "shard-{:05d}.{}"
NESTED = ("keywords", "warnings", "transcript")
"""JSON texts in Parquet: what they hold differs from row to row."""

ROWS_AT_ONCE = 64


def shards_in(folder: Path) -> list[Path]:
    """The finished ones, in order."""
    return sorted(
        path
        for name in FORMATS
        for path in folder.glob(f"shard-*.{name}")
        if path.stem.partition("-")[2].isdecimal()
    )


def next_shard(folder: Path, shard_format: Format) -> Path:
    """Where the next one goes, whatever the format of those before it."""
    numbers = [int(path.stem.partition("-")[2]) for path in shards_in(folder)]
    return folder / NAME.format(max(numbers, default=0) + 1, shard_format)


def read_rows(path: Path) -> Iterator[Row]:
    """The rows of a shard.

    Raises:
        CorpusError: it is damaged, or no shard.
    """
    try:
        yield from _parquet_rows(path) if path.suffix == ".parquet" else _json_rows(path)
    except (ValueError, KeyError, TypeError) as error:
        raise CorpusError(
            f"{path} is damaged ({error}); delete it, and its recordings are done again."
        ) from error


def write_shard(path: Path, rows: Iterable[Row]) -> None:
    """Write a shard beside its place, then rename it."""
    part = path.with_name(f".{path.name}.part")
    try:
        if path.suffix == ".parquet":
            _write_parquet(part, rows)
        else:
            with open(part, "wb") as file:
                file.writelines(map(line_of, rows))
        with open(part, "rb") as file:
            os.fsync(file.fileno())
        os.replace(part, path)
        sync_folder(path.parent)
    finally:
        part.unlink(missing_ok=True)


def sync_folder(folder: Path) -> None:
    """Bring a folder's names to the disk."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _json_rows(path: Path) -> Iterator[Row]:
    with open(path, "rb") as file:
        for line in file:
            row = json.loads(line)
            row["sha256"], row["id"], row["transcript"]
            yield row


def _parquet_rows(path: Path) -> Iterator[Row]:
    from pyarrow.parquet import ParquetFile

    with ParquetFile(path) as file:
        for batch in file.iter_batches(ROWS_AT_ONCE):
            for row in batch.to_pylist():
                yield {**row, **{name: json.loads(row[name]) for name in NESTED}}


def _write_parquet(path: Path, rows: Iterable[Row]) -> None:
    import pyarrow as pa
    from pyarrow.parquet import ParquetWriter

    texts = ("id", "audio", "reference", "sha256", "hypothesis", "language", "worker", *NESTED)
    schema = pa.schema(
        [("corpus_version", pa.int32()), ("n_together", pa.int32())]
        + [("duration_s", pa.float64()), ("transcribe_s", pa.float64())]
        + [(name, pa.string()) for name in texts]
    )
    with ParquetWriter(path, schema, compression="zstd") as writer:
        for some in _batches(rows):
            writer.write_table(pa.Table.from_pylist([_flat(row) for row in some], schema))


def _flat(row: Row) -> Row:
    plain: dict[str, Any] = {
        name: value.encode("utf-8", "backslashreplace").decode()
        if isinstance(value, str)
        else value
        for name, value in row.items()
    }
    return {**plain, **{name: json.dumps(row[name], allow_nan=False) for name in NESTED}}


def _batches(rows: Iterable[Row]) -> Iterator[Sequence[Row]]:
    batch: list[Row] = []
    for row in rows:
        batch.append(row)
        if len(batch) == ROWS_AT_ONCE:
            yield batch
            batch = []
    if batch:
        yield batch
