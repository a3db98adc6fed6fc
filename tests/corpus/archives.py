"""Items, outcomes and an engine in this process, for tests without Ray."""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from granite_mlx.corpus.items import Item, Named, Outcome, State, Task


def item(name: str, duration_s: float | None = 1.0, *, language: str | None = None) -> Item:
    sha256 = hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()
    return Item((Named(name, f"/{name}", language),), State(32_000, 1, sha256, duration_s))


def outcome(sha256: str, text: str = "yes", worker: str = "a:1") -> Outcome:
    transcript = {"text": text, "duration_s": 1.5, "keywords": [], "warnings": []}
    return Outcome(sha256, worker, transcript, wall_s=0.5, n_together=2)


class Engine:
    """Does each lot at once with `answer`; loses a lot for None, and stops where it raises."""

    def __init__(self, answer: Callable[[Task], Outcome | None], n_workers: int = 2) -> None:
        self.answer = answer
        self.n_workers = n_workers
        self.heard: list[str] = []

    @contextmanager
    def start(self, *_: Any) -> Iterator[tuple[Any, int]]:
        yield self._outcomes, self.n_workers

    def _outcomes(self, lots: Sequence[Sequence[Task]]) -> Iterator[list[Outcome]]:
        for lot in lots:
            outcomes = [self.answer(task) for task in lot]
            if None not in outcomes:
                self.heard += [Path(task.audio).name for task in lot]
                yield [one for one in outcomes if one is not None]
