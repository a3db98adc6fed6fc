"""The user's terms: read, checked, and reported on."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from granite_mlx.transcript import KeywordReport, Word

_COMMENT = re.compile(r"(^|\s)#.*")  # "C#" is a term

# Not the invisible joiners, which Persian, Hindi and emoji are spelt with.
_CONTROLS = {
    "Cc",
    "Cs",
    "Zl",
    "Zp",
}  # control characters, surrogates, line and paragraph separators

LONGEST_TERM = 100
"""Characters of one term; a longer one is a sentence, or a list without line breaks."""


def read_keywords(keywords: Iterable[str] | Path | None) -> tuple[str, ...]:
    """The terms of a list, or of a file with one a line and comments behind a ``#`` of its own.

    Order is kept and duplicates are merged.

    Raises:
        TypeError: a bare string, or a term that is none.
        ValueError: an empty or overlong term, one with a comma (it separates terms in the prompt)
            or a control character, or a file that cannot be read, naming term or line.
    """
    if keywords is None:
        return ()
    if isinstance(keywords, Path):
        return _read_file(keywords)
    if isinstance(keywords, (str, bytes)):
        raise TypeError(
            f"keywords must be a list of terms or a pathlib.Path to a file, not the string "
            f"{keywords!r}."
        )
    terms = [
        _checked(term, f"keyword {position}") for position, term in enumerate(keywords, start=1)
    ]
    return tuple(dict.fromkeys(terms))


def _read_file(path: Path) -> tuple[str, ...]:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise ValueError(f"the keywords file {path} cannot be read ({error.strerror}).") from error
    except UnicodeDecodeError as error:
        raise ValueError(
            f"the keywords file {path} is not UTF-8 text; save it as UTF-8."
        ) from error
    terms = []
    for number, line in enumerate(text.splitlines(), start=1):
        term = _COMMENT.sub("", line).strip()
        if term:
            terms.append(_checked(term, f"{path}, line {number}"))
    if not terms:
        raise ValueError(f"the keywords file {path} holds no terms; write one on each line.")
    return tuple(dict.fromkeys(terms))


def _checked(term: object, where: str) -> str:
    if not isinstance(term, str):
        raise TypeError(f"{where} must be a string, not {term!r}.")
    bare = unicodedata.normalize("NFC", term).strip()
    if not bare:
        raise ValueError(f"{where} is empty; leave it out or write a term.")
    if any(unicodedata.category(character) in _CONTROLS for character in bare):
        raise ValueError(f"{where} ({bare!r}) contains a control character; remove it.")
    clean = " ".join(bare.split())
    if len(clean) > LONGEST_TERM:
        raise ValueError(f"{where} has {len(clean)} characters; a term has at most {LONGEST_TERM}.")
    if "," in clean:
        raise ValueError(f"{where} ({clean!r}) contains a comma; give each term by itself.")
    if "<|" in clean:
        raise ValueError(f"{where} ({clean!r}) contains '<|', which marks the model's own tokens.")
    return clean


def report_keywords(
    terms: Sequence[str], text: str | None, words: Sequence[Word] = ()
) -> tuple[KeywordReport, ...]:
    """Which terms the model's text contains as whole words, and when they are said.

    `text` is None where the model was not asked, so that no term was offered to it. `words` are
    those of the text, or none where their times are not known.
    """
    if text is None:
        return tuple(KeywordReport(term, False, False) for term in terms)
    # One for each stretch between spaces: a word's text may have some.
    by_place = [word for word in words for _ in word.text.split()]
    known = bool(words) and len(by_place) == len(text.split())
    reports = []
    for term in terms:
        places = list(_places(text, term))
        times = tuple(_span(text, term, place, by_place) for place in places) if known else None
        reports.append(KeywordReport(term, True, bool(places), times))
    return tuple(reports)


def _places(text: str, term: str) -> Iterator[int]:
    """Where the term stands as a whole word."""
    start = text.find(term)
    while start >= 0:
        end = start + len(term)
        before, after = text[start - 1 : start], text[end : end + 1]
        if not (_joins(before, term[0]) or _joins(term[-1], after)):
            yield start
        start = text.find(term, start + 1)


def _span(text: str, term: str, place: int, by_place: Sequence[Word]) -> tuple[float, float]:
    """From the beginning of the term's first word to the end of its last."""
    last = len(text[: place + len(term)].split()) - 1
    first = last - len(term.split()) + 1
    return by_place[first].start_s, by_place[last].end_s


def _joins(left: str, right: str) -> bool:
    """Whether two neighbouring characters belong to one word."""
    return left[-1:].isalnum() and right[:1].isalnum()
