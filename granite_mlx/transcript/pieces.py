"""Segments as pieces: the smallest parts of a text that stay whole on a line, each with its time.

A piece is a word, or, in a script without spaces, as few characters as a line may end behind.
Only a word that is longer than a line is cut further. Times are whole milliseconds.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate, pairwise

from granite_mlx.transcript.characters import (
    closes,
    clusters,
    is_wide,
    opens,
    split,
    unspaced_parts,
    width,
)
from granite_mlx.transcript.small_words import LEANING
from granite_mlx.transcript.types import Segment, Word

MS_PER_S = 1000
SENTENCE_ENDS = frozenset(".!?…。！？．؟۔।॥")
CLAUSE_ENDS = frozenset(",;:、，；：،؛—–")
QUOTES_BEHIND = "\"'”’»›)]）」』】"

LONG_PAUSE_MS = 600
SHORT_PAUSE_MS = 250


@dataclass(frozen=True)
class Piece:
    """A part of a text. `columns` is its width; `space` says whether a space stands before it.

    `word` is the same in all pieces of one word; `timed` says whether the time was heard, and not
    divided out of a longer stretch; `ends_segment` whether the text of a segment ends with it.
    """

    text: str
    columns: int
    start_ms: int
    end_ms: int
    space: bool
    word: int
    timed: bool
    ends_segment: bool = False


@dataclass(frozen=True)
class _Token:
    """A part between spaces, or a word that has a time of its own."""

    text: str
    start_ms: int
    end_ms: int
    space: bool
    timed: bool


def segment_pieces(segment: Segment, max_columns: int) -> list[Piece]:
    """The pieces of a segment, none wider than `max_columns`; none at all if it has no text."""
    start_ms, end_ms = _span_ms(segment)
    tokens = _heard_tokens(segment) or _divided(split(segment.text), start_ms, end_ms, False)
    pieces = [
        piece
        for word, token in enumerate(_in_order(tokens))
        for piece in _token_pieces(token, word, max_columns)
    ]
    pieces = _with_punctuation(pieces, max_columns)
    return [*pieces[:-1], *(replace(piece, ends_segment=True) for piece in pieces[-1:])]


def break_cost(before: Piece, after: Piece) -> float:
    """How bad it is for a reader that a line or cue ends between two pieces; 0 is not at all."""
    pause_ms = after.start_ms - before.end_ms
    end = before.text.rstrip(QUOTES_BEHIND)[-1:]
    if before.ends_segment or end in SENTENCE_ENDS or pause_ms >= LONG_PAUSE_MS:
        return 0.0
    if end in CLAUSE_ENDS or pause_ms >= SHORT_PAUSE_MS:
        return 1.0
    if before.word != after.word:
        return _words_cost(before.text, after.text)
    return _unspaced_cost(before.text[-1], after.text[0])


def keep_cost(before: Piece, after: Piece) -> float:
    """How bad it is that a cue goes on from one piece to the next."""
    pause_ms = after.start_ms - before.end_ms
    new_sentence = before.ends_segment or before.text.rstrip(QUOTES_BEHIND)[-1:] in SENTENCE_ENDS
    waiting = pause_ms / LONG_PAUSE_MS if pause_ms >= LONG_PAUSE_MS else 0.0
    return (1.5 if new_sentence else 0.0) + waiting


def milliseconds(seconds: float) -> int:
    """Seconds -> whole milliseconds, none below 0."""
    return max(0, round(seconds * MS_PER_S))


def _span_ms(timed: Segment | Word) -> tuple[int, int]:
    start_ms = milliseconds(timed.start_s)
    return start_ms, max(start_ms, milliseconds(timed.end_s))


def _heard_tokens(segment: Segment) -> list[_Token]:
    """The text in the times of the segment's words; [] where the words are not those of the text.

    Words may lack the text's punctuation and capitals: the text decides what is shown.
    """
    words = [(word, said) for word in segment.words if (said := " ".join(split(word.text)))]
    chunks = _chunks(split(segment.text), [said for _, said in words])
    tokens: list[_Token] = []
    for (word, _), (space, chunk) in zip(words, chunks, strict=False):  # no chunks: no tokens
        for i, token in enumerate(_divided(split(chunk), *_span_ms(word), True)):
            tokens.append(replace(token, space=space or i > 0))
    return tokens


def _chunks(shown: Sequence[str], words: Sequence[str]) -> list[tuple[bool, str]]:
    """What is shown of each word, and whether a space stands before it; [] if that is not clear."""
    for chunks in (shown or words, _grouped(shown)):
        if len(chunks) == len(words):
            return [(True, chunk) for chunk in chunks]
    return _cut_at_words(" ".join(shown), words)


def _grouped(shown: Sequence[str]) -> list[str]:
    """The parts of a text, with punctuation that stands alone joined to the part it belongs to."""
    grouped: list[str] = []
    before = ""
    for part in shown:
        if any(map(str.isalnum, part)):
            grouped.append(before + part)
            before = ""
        elif grouped and not all(map(opens, part)):
            grouped[-1] += f" {part}"
        else:
            before += f"{part} "
    if before and grouped:
        grouped[-1] += f" {before}"
    return grouped


def _cut_at_words(text: str, words: Sequence[str]) -> list[tuple[bool, str]]:
    """The text cut where each word begins, or [] where one of them is not found in its place."""
    lower = text.lower()
    if len(lower) != len(text):
        lower = text
    starts, position = [], 0
    for word in words:
        found = lower.find(word.lower(), position)
        if found < 0 or any(map(str.isalnum, text[position:found])):
            return []
        starts.append(found)
        position = found + len(word)
    if not words or any(map(str.isalnum, text[position:])):
        return []
    bounds = [0, *starts[1:], len(text)]  # what stands before the first word goes with it
    chunks = [text[start:end] for start, end in pairwise(bounds)]
    return [(before.endswith(" "), chunk) for before, chunk in pairwise([" ", *chunks])]


def _divided(parts: Sequence[str], start_ms: int, end_ms: int, timed: bool) -> list[_Token]:
    """The span shared out among the parts in proportion to their columns."""
    bounds = _shares([max(1, width(part)) for part in parts], start_ms, end_ms)
    return [
        _Token(part, start, end, space=True, timed=timed)
        for part, (start, end) in zip(parts, bounds, strict=True)
    ]


def _shares(sizes: Sequence[int], start_ms: int, end_ms: int) -> Iterator[tuple[int, int]]:
    total = sum(sizes)
    before = 0
    for behind in accumulate(sizes):
        length_ms = end_ms - start_ms
        yield start_ms + length_ms * before // total, start_ms + length_ms * behind // total
        before = behind


def _in_order(tokens: Iterable[_Token]) -> Iterator[_Token]:
    """The tokens with times that never go back."""
    now_ms = 0
    for token in tokens:
        start_ms = max(now_ms, token.start_ms)
        yield replace(token, start_ms=start_ms, end_ms=max(start_ms, token.end_ms))
        now_ms = start_ms


def _token_pieces(token: _Token, word: int, max_columns: int) -> Iterator[Piece]:
    parts = [
        part
        for whole in unspaced_parts(token.text)
        for part in ([whole] if width(whole) <= max_columns else _cut(whole, max_columns))
    ]
    columns = [width(part) for part in parts]
    spans = _shares([max(1, size) for size in columns], token.start_ms, token.end_ms)
    for i, (part, size, (start_ms, end_ms)) in enumerate(zip(parts, columns, spans, strict=True)):
        space = token.space and i == 0
        yield Piece(part, size, start_ms, end_ms, space, word, token.timed)


def _cut(text: str, max_columns: int) -> list[str]:
    """Parts as long as fit, for a text that is too long for any line."""
    parts, used = [""], 0
    for cluster in clusters(text):
        columns = width(cluster)
        if used + columns > max_columns:
            parts.append("")
            used = 0
        parts[-1] += cluster
        used += columns
    return [part for part in (part.strip() for part in parts) if part]


def _with_punctuation(pieces: Iterable[Piece], max_columns: int) -> list[Piece]:
    """Punctuation that stands alone, as French writes it, joined to the word it belongs to."""
    joined: list[Piece] = []
    for piece in pieces:
        last = joined[-1] if joined else None
        if last is not None and _belong_together(last, piece, max_columns):
            joined[-1] = _join(last, piece)
        else:
            joined.append(piece)
    return joined


def _belong_together(before: Piece, after: Piece, max_columns: int) -> bool:
    if before.columns + after.space + after.columns > max_columns:
        return False
    if after.space:
        return all(map(closes, after.text)) or all(map(opens, before.text.split(" ")[-1]))
    return before.word != after.word and (closes(after.text[0]) or opens(before.text[-1]))


def _join(before: Piece, after: Piece) -> Piece:
    return replace(
        before,
        text=f"{before.text}{' ' if after.space else ''}{after.text}",
        columns=before.columns + after.space + after.columns,
        end_ms=max(before.end_ms, after.end_ms),
        word=after.word,
    )


def _words_cost(before: str, after: str) -> float:
    """Between two words of a phrase: better before a small word that leans on what follows."""
    if before.casefold() in LEANING:
        return 7.0
    return 3.0 if after.casefold() in LEANING else 4.0


def _unspaced_cost(before: str, after: str) -> float:
    """Where inside a text without spaces a reader minds a break least.

    Japanese phrases mostly end in hiragana, and the next begins with another script.
    """
    if not (is_wide(before) or is_wide(after)):
        return 12.0
    kinds = _script(before), _script(after)
    if kinds[0] == "hiragana" and kinds[1] != "hiragana":
        return 5.0
    return 9.0 if kinds[0] == kinds[1] else 7.0


def _script(char: str) -> str:
    if "\u3040" <= char <= "\u309f":
        return "hiragana"
    if "\u30a0" <= char <= "\u30ff":
        return "katakana"
    return "ideograph" if is_wide(char) else "other"
