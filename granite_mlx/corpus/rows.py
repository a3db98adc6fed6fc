"""A row of a shard: one name of a recording, and the transcript of its content."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from granite_mlx.corpus.items import Named, Outcome

Row = dict[str, Any]

VERSION = 1

OF_A_NAME = ("id", "audio", "reference")
"""The rest is the same under all names of a content."""


def row_of(named: Named, outcome: Outcome) -> Row:
    """The keys of `eval`'s utterances where both mean the same, so that `--compare` reads it."""
    transcript = outcome.transcript
    assert transcript is not None, "a failure has no row"
    return {
        "corpus_version": VERSION,
        "id": named.id,
        "audio": named.audio,
        "reference": named.reference,
        "sha256": outcome.sha256,
        "hypothesis": transcript["text"],
        "language": named.language,
        "duration_s": transcript["duration_s"],
        "transcribe_s": outcome.wall_s,
        "n_together": outcome.n_together,
        "keywords": transcript["keywords"],
        "warnings": [warning["code"] for warning in transcript["warnings"]],
        "worker": outcome.worker,
        "transcript": transcript,
    }


def renamed(row: Row, named: Named) -> Row:
    """The same result under another name."""
    return {**row, "id": named.id, "audio": named.audio, "reference": named.reference}


def key_of(row: Mapping[str, Any]) -> tuple[str, str]:
    """What no two rows of a folder share: content and name."""
    return row["sha256"], row["id"]


def line_of(row: Mapping[str, Any]) -> bytes:
    """One line of JSON. A lone surrogate, which stands for a byte of a name, is its own escape."""
    text = json.dumps(row, ensure_ascii=False, allow_nan=False) + "\n"
    return text.encode("utf-8", "backslashreplace")
