"""The recordings of an archive: files, folders, and manifests as eval and transcribe have them."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from granite_mlx.cli.failures import UsageError
from granite_mlx.cli.inputs import STDIN, Recording, recordings
from granite_mlx.cli.manifest import BEGINNING, input_name
from granite_mlx.cli.screen import shown
from granite_mlx.corpus.items import Named, distinct

Trouble = tuple[Named, str]

PARQUET = ".parquet"


def named_in(
    arguments: Sequence[str], *, recursive: bool
) -> tuple[list[Named], list[Trouble], list[str]]:
    """All names, those with a trouble that is known already, and notes on columns not used.

    Raises:
        UsageError: stdin, an empty name, or a manifest that makes no sense.
        CorpusError: one id for two recordings.
    """
    from granite_mlx.evaluate.manifests import SUFFIXES

    if STDIN in arguments:
        raise UsageError("corpus reads files; - (stdin) cannot be read again after a crash.")
    manifests = [one for one in arguments if Path(one).suffix.lower() in (*SUFFIXES, PARQUET)]
    manifests = [one for one in manifests if not os.path.isdir(one)]
    files = recordings([one for one in arguments if one not in manifests], recursive=recursive)
    named, troubles = [], []
    for file in files:
        one = Named(input_name(file), input_name(file))
        if file.trouble is None:
            named.append(one)
        else:
            troubles.append((one, file.trouble))
    notes: list[str] = []
    for manifest in dict.fromkeys(manifests):
        named += _in_manifest(Path(manifest), notes)
    return distinct(named), troubles, notes


def _in_manifest(path: Path, notes: list[str]) -> Iterator[Named]:
    if path.suffix.lower() == PARQUET:
        yield from _in_shard(path)
        return
    if _is_of_transcribe(path):
        yield from _inputs(path)
        return
    from granite_mlx.evaluate.manifests import read_manifest

    rows, said = read_manifest(path)
    notes += said
    for row in rows:
        assert isinstance(row.audio, Path)
        audio = input_name(Recording(str(row.audio)))
        yield Named(row.id, audio, row.language, row.keywords, row.text)


def _in_shard(path: Path) -> Iterator[Named]:
    from granite_mlx.corpus.shards import read_rows

    for row in read_rows(path):
        keywords = tuple(one["term"] for one in row["keywords"])
        yield Named(row["id"], row["audio"], row["language"], keywords, row["reference"])


def _is_of_transcribe(path: Path) -> bool:
    try:
        with open(path, "rb") as file:
            return file.read(len(BEGINNING)) == BEGINNING
    except OSError:
        return False


def _inputs(path: Path) -> Iterator[Named]:
    """What `transcribe --manifest` was given, whatever came of it."""
    for number, line in enumerate(path.read_bytes().splitlines(), start=1):
        try:
            name = json.loads(line)["input"]
        except (ValueError, KeyError, TypeError) as error:
            raise UsageError(
                f"{shown(str(path))}, line {number}, is none of a manifest; mend or delete it."
            ) from error
        if name != STDIN:
            yield Named(name, name)
