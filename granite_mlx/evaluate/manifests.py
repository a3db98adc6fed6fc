"""Rows from a manifest: JSON lines, or a table with commas or tabs."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from granite_mlx.evaluate.errors import EvaluationError
from granite_mlx.evaluate.rows import Row, make_row
from granite_mlx.strict_json import TwiceError, read_json

JSON_LINES = (".jsonl", ".ndjson")
TABLES = {".csv": ",", ".tsv": "\t"}
SUFFIXES = (*JSON_LINES, *TABLES)

AUDIO_COLUMNS = ("audio", "audio_filepath")
"""The second is NeMo's and the leaderboard's."""

TEXT_COLUMNS = ("text", "reference")
"""The second is that of our own results, which name recordings as a manifest does."""

COLUMNS = ("id", *AUDIO_COLUMNS, *TEXT_COLUMNS, "language", "target", "target_language", "keywords")
BETWEEN_KEYWORDS = ";"
"""In a table, where a cell is one text."""

EXAMPLE = '{"audio": "a.wav", "text": "what is said"}'

LONGEST_ID = 500
SHOWN_CHARACTERS = 40

Record = Mapping[str, Any]


def read_manifest(path: Path) -> tuple[list[Row], list[str]]:
    """The rows, and notes on columns that mean nothing here.

    Raises:
        EvaluationError: it cannot be read, or a line makes no sense; the message names the line.
    """
    suffix = path.suffix.lower()
    text = _decoded(path)
    records = _json_lines(path, text) if suffix in JSON_LINES else _table(path, text, suffix)
    rows, unused = [], dict[str, None]()
    for where, record in records:
        unused |= dict.fromkeys(str(name) for name in record if name not in COLUMNS)
        rows.append(_row(path, where, record))
    notes = [f"{path}: columns that are not used: {', '.join(unused)}."] if unused else []
    return rows, notes


def _decoded(path: Path) -> str:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise EvaluationError(f"{path} cannot be read ({error.strerror}).") from error
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise EvaluationError(
            f"{path}, line {line}, is not UTF-8 text; save the file as UTF-8."
        ) from error


def _json_lines(path: Path, text: str) -> Iterator[tuple[str, Record]]:
    # Not splitlines: JSON may have U+2028 within a text.
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        where = f"{path}, line {number}"
        try:
            record = read_json(line)
        except TwiceError as error:
            raise EvaluationError(f"{where}: {error}") from error
        except (ValueError, RecursionError) as error:
            raise EvaluationError(
                f"{where}, is no JSON ({error}); each line must be an object such as {EXAMPLE}."
            ) from error
        if not isinstance(record, dict):
            raise EvaluationError(f"{where}, is no object; write one such as {EXAMPLE}.")
        yield where, record


def _table(path: Path, text: str, suffix: str) -> Iterator[tuple[str, Record]]:
    # Tables with tabs have quotation marks that are part of the text.
    lines = csv.reader(
        io.StringIO(text, newline=""),
        delimiter=TABLES[suffix],
        quoting=csv.QUOTE_MINIMAL if suffix == ".csv" else csv.QUOTE_NONE,
        strict=True,
    )
    header: list[str] | None = None
    while True:
        where = f"{path}, line {lines.line_num + 1}"
        try:
            cells = next(lines, None)
        except csv.Error as error:
            raise EvaluationError(f"{where}, is no line of a table ({error}).") from error
        if cells is None:
            return
        if not cells:
            continue
        if header is None:
            header = [name.strip() for name in cells]
            for name in header:
                if header.count(name) > 1 and (name in COLUMNS or not name):
                    column = f"a column {name!r} twice" if name else "two columns without a name"
                    raise EvaluationError(f"{where}, has {column}; keep one.")
        elif len(cells) != len(header):
            raise EvaluationError(
                f"{where}, has {len(cells)} cells under {len(header)} columns; put a text with the "
                "separator in it in quotation marks, or use JSON lines."
            )
        else:
            # An empty cell says nothing, but for the text: there it is that nobody speaks.
            yield (
                where,
                {
                    name: cell
                    for name, cell in zip(header, cells, strict=True)
                    if cell or name == "text"
                },
            )


def _row(path: Path, where: str, record: Record) -> Row:
    audio = next((record[name] for name in AUDIO_COLUMNS if name in record), None)
    if not isinstance(audio, str) or not audio.strip() or "\0" in audio:
        found = ", ".join(map(str, record)) or "none"
        raise EvaluationError(
            f"{where}, names no recording; it needs audio, a path (its columns: {found})."
        )
    texts = {
        name: _text(where, name, record.get(name))
        for name in ("language", "target", "target_language")
    }
    text = next((name for name in TEXT_COLUMNS if name in record), TEXT_COLUMNS[0])
    texts["text"] = _text(where, text, record.get(text))
    return make_row(
        _id(where, record["id"]) if record.get("id") is not None else audio,
        path.parent / Path(audio).expanduser(),
        audio,
        where,
        keywords=_keywords(where, record.get("keywords")),
        **texts,
    )


def _id(where: str, value: object) -> str:
    """A row's name, as other programs and files will have it."""
    text = str(value) if isinstance(value, int) and not isinstance(value, bool) else value
    if not isinstance(text, str):
        raise EvaluationError(f"{where}: id must be a text or a whole number, not {value!r}.")
    if not text.strip() or len(text) > LONGEST_ID or not text.isprintable():
        raise EvaluationError(
            f"{where}: id must be 1 to {LONGEST_ID} characters that can be printed, not "
            f"{text[:SHOWN_CHARACTERS]!r}."
        )
    return text


def _text(where: str, name: str, value: object) -> str | None:
    if value is None or isinstance(value, str):
        return value
    raise EvaluationError(f"{where}: {name} must be a text, not {value!r}.")


def _keywords(where: str, value: object) -> list[str]:
    """A list, or a text of terms with semicolons between them."""
    if value is None:
        return []
    if isinstance(value, str):
        return [term.strip() for term in value.split(BETWEEN_KEYWORDS) if term.strip()]
    if isinstance(value, list):
        # Our own results tell of each term whether it was found.
        return [one["term"] if isinstance(one, dict) and "term" in one else one for one in value]
    raise EvaluationError(
        f"{where}: keywords must be a list of terms, or terms with {BETWEEN_KEYWORDS} between them."
    )
