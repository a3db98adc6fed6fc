"""What an archive holds: names of recordings, and the contents behind them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from granite_mlx.corpus.errors import CorpusError

BYTES_PER_S = 32_000
"""Of 16 kHz, mono, 16 bits: what a length is guessed by where a recording does not tell its own."""


@dataclass(frozen=True)
class Named:
    """A recording by one of its names.

    `audio` is its absolute path. `language`, `keywords` and `reference` (what is said in it, for
    `eval`) are what a manifest tells of it.
    """

    id: str
    audio: str
    language: str | None = None
    keywords: tuple[str, ...] = ()
    reference: str | None = None


@dataclass(frozen=True)
class State:
    """A file as it was found: its content by SHA-256, and its length where that is known."""

    size_bytes: int
    modified_ns: int
    sha256: str
    duration_s: float | None


@dataclass(frozen=True)
class Item:
    """One content, under all of its names; the first one's file is listened to."""

    names: tuple[Named, ...]
    state: State

    @property
    def sha256(self) -> str:
        return self.state.sha256

    @property
    def asked(self) -> tuple[str | None, tuple[str, ...]]:
        """What is told the model about this one."""
        return self.names[0].language, self.names[0].keywords

    @property
    def length_s(self) -> float:
        """Its duration; by its size, where that is not known."""
        if self.state.duration_s is None:
            return self.state.size_bytes / BYTES_PER_S
        return self.state.duration_s


@dataclass(frozen=True)
class Task:
    """What a worker is told about one item. JSON can hold it."""

    sha256: str
    audio: str
    size_bytes: int
    modified_ns: int
    language: str | None
    keywords: tuple[str, ...]


@dataclass(frozen=True)
class Outcome:
    """What a worker made of one task: a transcript's record, or an error in a sentence.

    An `obstacle` is an error that every other task would meet as well.
    """

    sha256: str
    worker: str
    transcript: Mapping[str, Any] | None = None
    error: str | None = None
    is_obstacle: bool = False
    wall_s: float | None = None
    n_together: int = 1


def distinct(named: Iterable[Named]) -> list[Named]:
    """Without those that say the same twice.

    Raises:
        CorpusError: one id for two recordings.
    """
    by_id: dict[str, Named] = {}
    for one in named:
        before = by_id.setdefault(one.id, one)
        if before != one:
            raise CorpusError(
                f"the id {one.id!r} stands for two recordings or asks for two things "
                f"({before.audio}, {one.audio}); give each an id of its own in the manifest."
            )
    return list(by_id.values())


def items_of(found: Sequence[tuple[Named, State]]) -> tuple[list[Item], list[tuple[Named, str]]]:
    """One item for each content, and names that cannot be part of theirs, with the reason.

    The same content has one result; where a name asks for another one, the first name wins.
    """
    by_content: dict[str, tuple[list[Named], State]] = {}
    odd = []
    for named, state in found:
        names, _ = by_content.setdefault(state.sha256, ([], state))
        if names and (names[0].language, names[0].keywords) != (named.language, named.keywords):
            odd.append(
                (
                    named,
                    f"this is the same recording as {names[0].id}, asked with another language or "
                    "other keywords; ask for it in a run with another -o.",
                )
            )
        else:
            names.append(named)
    return [Item(tuple(names), state) for names, state in by_content.values()], odd


def task_of(item: Item) -> Task:
    """What a worker needs to know of an item."""
    first, state = item.names[0], item.state
    return Task(
        state.sha256, first.audio, state.size_bytes, state.modified_ns, first.language,
        first.keywords,
    )  # fmt: skip


def packed(values: Iterable[Task] | Iterable[Outcome]) -> str:
    """As ASCII: names with bytes that are no UTF-8 have to pass through Arrow's texts, too."""
    return json.dumps([asdict(value) for value in values], allow_nan=False)


def unpacked_tasks(text: str) -> list[Task]:
    """What was packed."""
    return [
        Task(**{**record, "keywords": tuple(record["keywords"])}) for record in json.loads(text)
    ]


def unpacked_outcomes(text: str) -> list[Outcome]:
    """What was packed."""
    return [Outcome(**record) for record in json.loads(text)]
