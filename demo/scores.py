"""Counts of what was right and wrong. Knows texts only: no audio, no model."""

from collections.abc import Iterable
from dataclasses import dataclass

from granite_mlx.evaluate.error_rates import edit_distance


@dataclass(frozen=True)
class Tally:
    """`n` of `total`. Keys that end in ``wrong`` count errors, all others what was right."""

    n: int = 0
    total: int = 0

    @property
    def percent(self) -> float:
        return 100 * self.n / self.total if self.total else 0.0

    def plus(self, n: int, total: int) -> "Tally":
        return Tally(self.n + n, self.total + total)


@dataclass(frozen=True)
class Mistake:
    key: str
    recording: str
    wanted: str
    got: str


class Scores:
    """Tallies by key, and a note of each text that was not as wanted."""

    def __init__(self) -> None:
        self.tallies: dict[str, Tally] = {}
        self.mistakes: list[Mistake] = []

    def add(self, key: str, n: int, total: int) -> None:
        self.tallies[key] = self.tallies.get(key, Tally()).plus(n, total)

    def words(self, key: str, wanted: str, got: str) -> None:
        """Word errors, case ignored."""
        errors = word_errors(wanted.lower(), got.lower())
        self.add(f"{key}.words_wrong", errors, len(wanted.split()))

    def text(self, key: str, recording: str, wanted: str, got: str) -> None:
        """A whole text, letter for letter."""
        self.add(f"{key}.texts_right", int(got == wanted), 1)
        if got != wanted:
            self.mistakes.append(Mistake(key, recording, wanted, got))

    def spellings(self, key: str, wanted: Iterable[str], got: str) -> None:
        """Names that stand in a text in the spelling that is wanted."""
        words = [word.strip(".,?!") for word in got.split()]
        for name in wanted:
            self.add(f"{key}_right", int(name in words), 1)


def word_errors(wanted: str, got: str) -> int:
    """Substitutions, insertions and deletions that make `got` of `wanted` (Levenshtein)."""
    return edit_distance(wanted.split(), got.split())
