"""How many terms one prompt may hold, and which ones a segment's prompt holds."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from granite_mlx.decoding.prompts import Task
from granite_mlx.errors import CheckpointError
from granite_mlx.model.folder import read_object
from granite_mlx.transcript import TranscriptWarning

if TYPE_CHECKING:
    from granite_mlx.biasing.choice import Index

Array: TypeAlias = np.ndarray[Any, np.dtype[Any]]

TERMS_PER_PROMPT = 50
"""For IBM's models, whose cards show lists of tens (docs/keywords.md)."""

MOST_PER_PROMPT = 1000
KEY = "keywords_per_prompt"

MOST_BOOSTED = 200
"""Terms; those behind them are the least like what is heard."""


@dataclass(frozen=True)
class Choice:
    """The terms of one segment.

    Attributes:
        keywords: for its prompt.
        boosts: those that may be said, and the bonus of each; none where no boost was asked for.
    """

    keywords: tuple[str, ...]
    boosts: tuple[tuple[str, float], ...] = ()


Choose = Callable[[Array], Choice]
"""The character head's logits (T, n) of a segment -> its terms."""


def chooser(task: Task, n_most: int, boost: float = 0.0) -> Choose | None:
    """What chooses the terms of each segment; None where all of them fit and none has a bonus."""
    if not task.keywords or (len(task.keywords) <= n_most and not boost):
        return None
    from granite_mlx.biasing.choice import index_of  # which short lists do not need

    return partial(_choice, index_of(task.keywords, task.sounds_like), n_most, boost)


def _choice(index: Index, n_most: int, boost: float, logits: Array) -> Choice:
    likely = index.likely(logits)
    fits = len(index.terms) <= n_most
    keywords = index.terms if fits else index.in_order([*likely][:n_most])
    if not boost:
        return Choice(keywords)
    bonuses = ((index.terms[place], boost * part) for place, part in likely.items())
    return Choice(keywords, tuple(islice(bonuses, MOST_BOOSTED)))


def unsearchable(task: Task, n_most: int, boost: float = 0.0) -> TranscriptWarning | None:
    """What there is to say of terms that cannot be looked for: no long list's prompt holds them.

    Nor do they get a bonus, where one was asked for.
    """
    if len(task.keywords) <= n_most and not boost:
        return None
    from granite_mlx.biasing.choice import index_of

    terms = index_of(task.keywords, task.sounds_like).unsearchable
    if not terms:
        return None
    shown = ", ".join(map(repr, terms[:3])) + (", ..." if len(terms) > 3 else "")
    return TranscriptWarning(
        "keywords_not_searched",
        f"{len(terms)} of {len(task.keywords)} keywords have no letter that the encoder knows and "
        f"were not looked for: {shown}; give each a way that it sounds.",
        None,
        None,
    )


def largest(task: Task, n_most: int) -> Task:
    """The task with the longest list that a prompt of it may hold."""
    by_length = sorted(task.keywords, key=lambda term: -len(term.encode()))
    return replace(task, keywords=tuple(by_length[:n_most]), sounds_like=())


def read_terms_per_prompt(folder: Path) -> int:
    """That of a checkpoint made for shorter or longer lists: a key of its generation_config.json.

    Raises:
        CheckpointError: it is there and is no whole number from 1 to 1000.
    """
    path = folder / "generation_config.json"
    given: Any = read_object(path).get(KEY) if path.is_file() else None
    if given is None:
        return TERMS_PER_PROMPT
    is_whole = isinstance(given, int) and not isinstance(given, bool)
    if not is_whole or not 1 <= given <= MOST_PER_PROMPT:
        raise CheckpointError(
            f"{path}: {KEY} must be a whole number from 1 to {MOST_PER_PROMPT}, "
            f"not {json.dumps(given)}."
        )
    return int(given)
