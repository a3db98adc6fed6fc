"""What is evaluated: recordings with the texts that are wanted of them. Knows no model."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import BinaryIO

from granite_mlx.biasing.terms import read_keywords
from granite_mlx.decoding.languages import language_code
from granite_mlx.errors import AudioError, LanguageError
from granite_mlx.evaluate.errors import EvaluationError

Audio = Path | Callable[[], BinaryIO]
"""A file, or what opens a recording that lies in a data set."""

IGNORED = "ignore time segment in scoring"
"""What some data sets write, with or without underscores, where nobody knows what is said."""

DIGEST_CHARACTERS = 16


@dataclass(frozen=True)
class Row:
    """One recording and what is wanted of it.

    `text` is what is said, None where only a translation is wanted; `target` is that translation
    and `target_language` its language. `where` names the row's place for messages.
    """

    id: str
    audio: Audio = field(repr=False, compare=False)
    audio_name: str
    text: str | None = None
    language: str | None = None
    target: str | None = None
    target_language: str | None = None
    keywords: tuple[str, ...] = ()
    where: str = field(default="", compare=False)

    def open(self) -> str | BinaryIO:
        """The recording, for a model.

        Raises:
            AudioError: it is not there.
        """
        if not isinstance(self.audio, Path):
            return self.audio()
        if not self.audio.exists():
            raise AudioError(f"{self.audio}: there is no such file.")
        return str(self.audio)

    @property
    def is_spoken(self) -> bool:
        """Whether there is a word to score; what is left out by --skip-empty has none."""
        wanted = self.text if self.target is None else self.target
        return (wanted or "").replace("_", " ").strip().lower() not in ("", IGNORED)


@dataclass(frozen=True)
class Source:
    """All rows, in order. `notes` are sentences about what was passed over."""

    name: str
    rows: tuple[Row, ...]
    notes: tuple[str, ...] = ()

    @property
    def digest(self) -> str:
        """The same for the same texts, languages and terms of the same recordings' names."""
        asked = [
            [row.id, row.text, row.language, row.target, row.target_language, row.keywords]
            for row in self.rows
        ]
        data = json.dumps(asked, ensure_ascii=True).encode()
        return hashlib.sha256(data).hexdigest()[:DIGEST_CHARACTERS]


@dataclass(frozen=True)
class Defaults:
    """What holds for rows that do not say: language codes, and whether rows without a word stay."""

    language: str | None = None
    target_language: str | None = None
    skip_empty: bool = False
    limit: int | None = None


def make_row(
    row_id: str,
    audio: Audio,
    audio_name: str,
    where: str,
    *,
    text: str | None = None,
    language: str | None = None,
    target: str | None = None,
    target_language: str | None = None,
    keywords: Iterable[str] = (),
) -> Row:
    """A row with languages as codes and terms checked.

    Raises:
        EvaluationError: an unknown language, or a term that is none.
    """
    try:
        terms = read_keywords(list(keywords)).terms
        spoken = language_code(language) if language else None
        written = language_code(target_language) if target_language else None
    except (LanguageError, TypeError, ValueError) as error:
        raise EvaluationError(f"{where}: {error}") from error
    return Row(row_id, audio, audio_name, text, spoken, target, written, terms, where)


def completed(name: str, rows: Sequence[Row], notes: Sequence[str], defaults: Defaults) -> Source:
    """A source of these rows, with what they do not say filled in.

    Raises:
        EvaluationError: no rows, nothing to compare with, an id that is there twice, or a
            translation into nobody knows what.
    """
    for row in rows:
        if row.text is None and row.target is None:
            raise EvaluationError(
                f"{row.where} has neither a text nor a target; one is needed to compare."
            )
    _check_ids(rows)
    kept = [row for row in rows if row.is_spoken or not defaults.skip_empty]
    if len(kept) < len(rows):
        notes = [*notes, f"{len(rows) - len(kept)} of {len(rows)} rows have no word to score."]
    kept = [_filled(row, defaults) for row in kept[: defaults.limit]]
    if not kept:
        raise EvaluationError(f"{name} holds no rows to evaluate.")
    return Source(name, tuple(kept), tuple(notes))


def _filled(row: Row, defaults: Defaults) -> Row:
    target_language = row.target_language or defaults.target_language
    if row.target is not None and target_language is None:
        raise EvaluationError(
            f"{row.where} has a target in an unknown language; add the column target_language, or "
            "--to LANG for all rows."
        )
    if row.target is None:
        target_language = None
    language = row.language or defaults.language
    return replace(row, language=language, target_language=target_language)


def _check_ids(rows: Sequence[Row]) -> None:
    first: dict[str, Row] = {}
    for row in rows:
        before = first.setdefault(row.id, row)
        if before is not row:
            raise EvaluationError(
                f"{row.where}: the id {row.id!r} is there already ({before.where}); give each row "
                "an id of its own."
            )
