"""One utterance's score: the edits that its text needed, and which of its terms were written."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from granite_mlx.evaluate.alignment import Step, aligned
from granite_mlx.evaluate.error_rates import edit_distance
from granite_mlx.evaluate.normalising import Tokens


@dataclass(frozen=True)
class TextScore:
    """Edits in words and in characters (spaces do not count), and what was wanted."""

    n_words: int
    n_substituted: int
    n_deleted: int
    n_inserted: int
    n_characters: int
    n_character_errors: int

    @property
    def n_word_errors(self) -> int:
        return self.n_substituted + self.n_deleted + self.n_inserted


@dataclass(frozen=True)
class KeywordScore:
    """Terms of the row's list: said and written, written only, said only."""

    n_right: int = 0
    n_invented: int = 0
    n_missed: int = 0


def score_text(wanted: Sequence[str], got: Sequence[str]) -> TextScore:
    """Of the words that both texts are made of."""
    kinds = Counter(step.kind for step in differences(wanted, got))
    wanted_characters = "".join(wanted)
    return TextScore(
        n_words=len(wanted),
        n_substituted=kinds["substituted"],
        n_deleted=kinds["deleted"],
        n_inserted=kinds["inserted"],
        n_characters=len(wanted_characters),
        n_character_errors=edit_distance(wanted_characters, "".join(got)),
    )


def differences(wanted: Sequence[str], got: Sequence[str]) -> list[Step]:
    """The alignment of both; nothing needs to be computed where they are alike."""
    if list(wanted) == list(got):
        return [Step("equal", word, word) for word in wanted]
    return aligned(wanted, got)


def score_keywords(terms: Iterable[str], wanted: str, got: str) -> KeywordScore:
    """A term counts as said, or written, where the text has it as whole words, in any case."""
    n_right = n_invented = n_missed = 0
    for term in terms:
        is_said, is_written = holds_term(wanted, term), holds_term(got, term)
        n_right += is_said and is_written
        n_invented += is_written and not is_said
        n_missed += is_said and not is_written
    return KeywordScore(n_right, n_invented, n_missed)


def holds_term(text: str, term: str) -> bool:
    """Whether the text has the term as whole words; case and the width of spaces do not matter."""
    folded = " ".join(term.casefold().split())
    pattern = rf"(?<!\w){re.escape(folded)}(?!\w)"
    return re.search(pattern, " ".join(text.casefold().split())) is not None


def words_of(tokens: Tokens, text: str | None, language: str | None) -> list[str]:
    """The words of a text, none where there is no text."""
    return [] if text is None else tokens(text, language)
