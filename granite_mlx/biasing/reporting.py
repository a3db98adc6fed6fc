"""What became of each term: a text is read once, however many terms there are."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Container, Iterable, Iterator, Sequence

from granite_mlx.transcript import KeywordReport, Word

_RUN_OR_SIGN = re.compile(r"[^\W_]+|\S")
"""Letters and digits in a row, or another character: what a term may begin with."""

SHORT_TEXT = 10_000
"""Characters in which each of many terms is looked for sooner than it is taken to pieces."""

_STRETCH = re.compile(r"\S+")


def report_keywords(
    terms: Sequence[str],
    text: str | None,
    words: Sequence[Word] = (),
    offered: Container[str] | None = None,
) -> tuple[KeywordReport, ...]:
    """Which terms the model's text contains as whole words, and when they are said.

    Args:
        text: None where the model was not asked, so that no term was offered to it.
        words: those of the text, or none where their times are not known.
        offered: the terms that some prompt held; None means all of them.
    """
    if text is None:
        return tuple(KeywordReport(term, False, False) for term in terms)
    places = places_of(text, terms)
    # One for each stretch between spaces: a word's text may have some.
    by_place = [word for word in words for _ in word.text.split()]
    starts = [found.start() for found in _STRETCH.finditer(text)]
    is_timed = bool(words) and len(by_place) == len(starts)

    def span_s(term: str, place: int) -> tuple[float, float]:
        """From the beginning of the term's first word to the end of its last."""
        first = bisect_right(starts, place) - 1
        last = bisect_right(starts, place + len(term) - 1) - 1
        return by_place[first].start_s, by_place[last].end_s

    return tuple(
        KeywordReport(
            term,
            offered is None or term in offered,
            term in places,
            tuple(span_s(term, place) for place in places.get(term, ())) if is_timed else None,
        )
        for term in terms
    )


def places_of(text: str, terms: Iterable[str]) -> dict[str, tuple[int, ...]]:
    """Where the terms that a text contains stand in it as whole words."""
    if len(text) <= SHORT_TEXT:
        terms = (term for term in terms if term in text)
    by_beginning: dict[str, dict[int, set[str]]] = {}
    for term in terms:
        by_length = by_beginning.setdefault(_beginning(term), {})
        by_length.setdefault(len(term), set()).add(term)
    found: dict[str, list[int]] = {}
    for place, by_length in _beginnings(text, by_beginning):
        for length, same in by_length.items():
            end = place + length
            term = text[place:end]
            if term in same and not _joins(term[-1], text[end : end + 1]):
                found.setdefault(term, []).append(place)
    return {term: tuple(own) for term, own in found.items()}


def _beginning(term: str) -> str:
    found = _RUN_OR_SIGN.match(term)
    return found[0] if found else ""


def _beginnings(
    text: str, by_beginning: dict[str, dict[int, set[str]]]
) -> Iterator[tuple[int, dict[int, set[str]]]]:
    """Places of a text where terms may begin, and which ones by their length."""
    for found in _RUN_OR_SIGN.finditer(text):
        by_length = by_beginning.get(found[0])
        if by_length is not None:
            yield found.start(), by_length


def _joins(left: str, right: str) -> bool:
    """Whether two neighbouring characters belong to one word."""
    return left[-1:].isalnum() and right[:1].isalnum()
