"""A run's answers beside what was wanted, with the score of each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from granite_mlx.evaluate.answers import Answer, to_record
from granite_mlx.evaluate.normalising import Tokens
from granite_mlx.evaluate.others import Run
from granite_mlx.evaluate.rows import Row
from granite_mlx.evaluate.scoring import KeywordScore, TextScore, score_keywords, score_text


@dataclass(frozen=True)
class Scored:
    """One row that a run has an answer to. `text` is None where nothing was transcribed."""

    row: Row
    answer: Answer
    wanted: tuple[str, ...] = ()
    got: tuple[str, ...] = ()
    text: TextScore | None = None
    keywords: KeywordScore | None = None

    @property
    def is_translated(self) -> bool:
        return self.row.target is not None and self.answer.translation is not None


@dataclass(frozen=True)
class ScoredRun:
    """A run's rows in the source's order; `n_failed` have no answer, and no score."""

    name: str
    scored: tuple[Scored, ...]
    n_failed: int = 0
    n_missing: int = 0

    def only(self, language: str | None) -> ScoredRun:
        """The rows in a language. Failures are counted in the whole alone."""
        return ScoredRun(self.name, tuple(s for s in self.scored if s.row.language == language))

    @property
    def languages(self) -> list[str | None]:
        """As they appear."""
        return list(dict.fromkeys(one.row.language for one in self.scored))


def score_run(run: Run, rows: Sequence[Row], tokens: Tokens) -> ScoredRun:
    """Every answer of a run to the rows; rows that it has none for are missing."""
    scored, n_failed, n_missing = [], 0, 0
    for row in rows:
        answer = run.answers.get(row.id)
        if answer is None:
            n_missing += 1
        elif not answer.is_done:
            n_failed += 1
        else:
            scored.append(score_row(row, answer, tokens))
    return ScoredRun(run.name, tuple(scored), n_failed, n_missing)


def score_row(row: Row, answer: Answer, tokens: Tokens) -> Scored:
    """One answer's score, through the rules of `tokens`."""
    if row.text is None or answer.hypothesis is None:
        return Scored(row, answer)
    wanted = tokens(row.text, row.language)
    got = tokens(answer.hypothesis, row.language)
    keywords = score_keywords(row.keywords, row.text, answer.hypothesis) if row.keywords else None
    return Scored(row, answer, tuple(wanted), tuple(got), score_text(wanted, got), keywords)


def scored_record(row: Row, answer: Answer, scored: Scored | None) -> Mapping[str, Any]:
    """A line of utterances.jsonl: what was wanted, what came, and the edits between."""
    score = None if scored is None else scored.text
    edits: dict[str, Any] = {}
    if score is not None:
        edits = {
            "n_words": score.n_words,
            "substitutions": score.n_substituted,
            "deletions": score.n_deleted,
            "insertions": score.n_inserted,
            "n_characters": score.n_characters,
            "character_errors": score.n_character_errors,
        }
    return {**to_record(row, answer), **edits}
