"""Rows from data sets that Hugging Face's `datasets` reads: the hub's, or in a folder.

Recordings are taken as they are stored and decoded by us; no code of a data set is ever run.
"""

from __future__ import annotations

import io
import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from granite_mlx.errors import AudioError
from granite_mlx.evaluate.errors import EvaluationError
from granite_mlx.evaluate.rows import Row, make_row

if TYPE_CHECKING:
    from datasets import Dataset

TEXT_COLUMNS = ("text", "sentence", "normalized_text", "transcript", "transcription")
"""The names, and their order, of the Open ASR leaderboard."""

OTHER_COLUMNS = ("id", "language", "target", "target_language", "keywords")
SAVED = ("dataset_dict.json", "dataset_info.json")
"""Files of a data set that `save_to_disk` has written."""

DEFAULT_SPLIT = "test"


@dataclass(frozen=True)
class Name:
    """NAME[:CONFIG[:SPLIT]]; an empty CONFIG is the data set's default one."""

    path: str
    config: str | None
    split: str

    @staticmethod
    def parse(argument: str) -> Name:
        """The parts of an argument; EvaluationError where there are too many."""
        path, *rest = argument.split(":")
        if len(rest) > 2 or not path:
            raise EvaluationError(
                f"{argument!r} is no data set; write NAME, NAME:CONFIG or NAME:CONFIG:SPLIT, with "
                "an empty CONFIG for the default one."
            )
        config, split = (*rest, "", "")[:2]
        return Name(path, config or None, split or DEFAULT_SPLIT)


def is_saved_dataset(folder: Path) -> bool:
    """Whether `save_to_disk` has written the folder."""
    return any((folder / name).is_file() for name in SAVED)


def read_dataset(argument: str) -> tuple[list[Row], list[str]]:
    """The rows of one split, and notes on columns that mean nothing here.

    Raises:
        EvaluationError: `datasets` is missing, or the data set cannot be had or has no audio or
            text.
    """
    name = Name.parse(argument)
    table = _without_decoding(name, _loaded(name))
    audio = _audio_column(name, table)
    texts = [column for column in TEXT_COLUMNS if column in table.column_names]
    if not texts and "target" not in table.column_names:
        raise EvaluationError(
            f"{argument}: no column has the text ({', '.join(TEXT_COLUMNS)} or target); it has "
            f"{', '.join(table.column_names)}."
        )
    used = {audio, *texts[:1], *OTHER_COLUMNS}
    unused = [column for column in table.column_names if column not in used]
    notes = [f"{argument}: columns that are not used: {', '.join(unused)}."] if unused else []
    # Only the texts are read now: recordings come one by one, when they are listened to.
    facts = table.select_columns([c for c in table.column_names if c in used and c != audio])
    rows = [
        _row(argument, number, fact, texts[0] if texts else "text", _opener(table, audio, number))
        for number, fact in enumerate(facts)
    ]
    return rows, notes


def _loaded(name: Name) -> Dataset:
    try:
        from datasets import Dataset, load_dataset, load_from_disk
    except ImportError as error:
        raise EvaluationError(
            f"{name.path}: reading this needs the package datasets; install it with pip install "
            "'granite-mlx[eval]', or name a manifest or a folder that is there."
        ) from error
    try:
        if is_saved_dataset(Path(name.path)):
            saved = load_from_disk(name.path)
            return saved if isinstance(saved, Dataset) else saved[name.split]
        return load_dataset(name.path, name.config, split=name.split)
    except KeyError as error:
        raise EvaluationError(f"{name.path} has no split {name.split!r}.") from error
    except Exception as error:  # datasets raises whatever its readers and the network do
        reason = " ".join(str(error).split()) or type(error).__name__
        raise EvaluationError(
            f"the data set {name.path} cannot be read ({reason.rstrip('.')}); check its name, "
            "config and split, the network, and whether it asks you to log in (hf auth login)."
        ) from error


def _without_decoding(name: Name, table: Any) -> Dataset:
    """The table with recordings as the bytes or paths that are stored."""
    from datasets import Audio

    for column, kind in table.features.items():
        if isinstance(kind, Audio):
            table = table.cast_column(column, Audio(decode=False))
    return table


def _audio_column(name: Name, table: Dataset) -> str:
    from datasets import Audio

    columns = [column for column, kind in table.features.items() if isinstance(kind, Audio)]
    if not columns:
        raise EvaluationError(
            f"{name.path} has no column of audio; it has {', '.join(table.column_names)}."
        )
    return "audio" if "audio" in columns else columns[0]


def _row(
    argument: str,
    number: int,
    fact: dict[str, Any],
    text_column: str,
    opener: Callable[[], BinaryIO],
) -> Row:
    where = f"{argument}, row {number}"
    row_id = fact.get("id")
    known = {name: fact.get(name) for name in ("language", "target", "target_language")}
    return make_row(
        f"{number}" if row_id is None else f"{number}-{row_id}",  # ids of the hub's may recur
        opener,
        f"{number}" if row_id is None else str(row_id),
        where,
        text=fact.get(text_column),
        keywords=fact.get("keywords") or (),
        # Some data sets number their languages.
        **{name: value for name, value in known.items() if isinstance(value, str)},
    )


def _opener(table: Dataset, column: str, number: int) -> Callable[[], BinaryIO]:
    return partial(_opened, table, column, number)


def _opened(table: Dataset, column: str, number: int) -> BinaryIO:
    stored = table[number][column] or {}
    if stored.get("bytes"):
        return io.BytesIO(stored["bytes"])
    path = stored.get("path")
    if not path or not os.path.isfile(path):
        raise AudioError(f"row {number} of the data set holds no recording.")
    return open(path, "rb")
