"""What was measured, a JSON object a line, written as soon as it is there.

A record counts for a later run with the same context: machine, model, versions, settings of the
contender. Others stay in the file, and are not looked at.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Record:
    """One measurement: whose, of what, and its figures with their units in the names."""

    context: str
    contender: str
    model: str
    kind: str
    seconds: float
    run: int
    values: Mapping[str, float]
    text: str | None
    spent_s: float
    at: str


class Journal:
    """A file of records."""

    def __init__(self, path: Path) -> None:
        self._path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        self._mend()

    def append(self, record: Record) -> None:
        """Write a record so that it is there whatever happens next."""
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(asdict(record), ensure_ascii=False) + "\n")
            file.flush()
            os.fsync(file.fileno())

    def records(self) -> Iterator[Record]:
        """All that are whole; the last line may have been cut off."""
        if not self._path.exists():
            return
        for line in self._path.read_text(encoding="utf-8").splitlines():
            try:
                yield Record(**json.loads(line))
            except (json.JSONDecodeError, TypeError):
                continue

    def _mend(self) -> None:
        """End a line that was cut off, so that the next record has one of its own."""
        content = self._path.read_bytes() if self._path.exists() else b""
        if content and not content.endswith(b"\n"):
            with self._path.open("a", encoding="utf-8") as file:
                file.write("\n")


def context(**facts: Any) -> str:
    """A short name for everything that a measurement depends on."""
    content = json.dumps(facts, sort_keys=True, default=str)
    return hashlib.sha256(content.encode()).hexdigest()[:12]


def model_facts(folder: Path) -> dict[str, int]:
    """Names and sizes of a checkpoint's files: which one it is."""
    return {path.name: path.stat().st_size for path in sorted(folder.iterdir()) if path.is_file()}
