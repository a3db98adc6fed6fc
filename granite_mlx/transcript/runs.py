"""Segments as runs: what one speaker says without a long rest, and what the speaker is called."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby, pairwise

from granite_mlx.transcript.characters import clusters, is_wide, split, width
from granite_mlx.transcript.pieces import Piece, segment_pieces
from granite_mlx.transcript.types import Segment

REST_MS = 2000  # a cue never goes on over a silence as long as this

Label = Callable[[str], str]
"""A speaker's name -> what is written before the first line of the cues where it has to be told."""


@dataclass(frozen=True)
class Run:
    """What one speaker says without a long rest."""

    speaker: str | None
    label: str
    pieces: tuple[Piece, ...]


def runs(segments: Sequence[Segment], n_columns: int, label: Label) -> Iterator[Run]:
    """The runs of all speakers by when they begin; no two words have the same number."""
    n_words = 0
    ordered = sorted(segments, key=lambda segment: segment.start_s)
    for speaker, group in groupby(ordered, key=_speaker):
        shown = "" if speaker is None else _shortened(label(speaker), n_columns // 2)
        stream: list[Piece] = []
        for segment in group:
            pieces = segment_pieces(segment, n_columns - width(shown))
            stream += following(stream, [replace(p, word=p.word + n_words) for p in pieces])
            n_words += len({piece.word for piece in pieces})
        for part in parts_between_rests(stream):
            yield Run(speaker, shown, part)


def following(before: Sequence[Piece], pieces: Sequence[Piece]) -> list[Piece]:
    """What one speaker says next, with times that never go back.

    Segments that meet between wide characters, which are written without spaces, meet without one.
    """
    if not before or not pieces:
        return list(pieces)
    now_ms, first = before[-1].start_ms, pieces[0]
    if before[-1].ends_segment and is_wide(before[-1].text[-1]) and is_wide(first.text[0]):
        pieces = [replace(first, space=False), *pieces[1:]]
    starts_ms = [max(piece.start_ms, now_ms) for piece in pieces]
    return [
        replace(piece, start_ms=start_ms, end_ms=max(piece.end_ms, start_ms))
        for piece, start_ms in zip(pieces, starts_ms, strict=True)
    ]


def parts_between_rests(pieces: Sequence[Piece]) -> Iterator[tuple[Piece, ...]]:
    """The pieces in parts that end where the speaker rests."""
    rests = [
        index
        for index, (before, after) in enumerate(pairwise(pieces), start=1)
        if after.start_ms - before.end_ms >= REST_MS
    ]
    for start, end in pairwise([0, *rests, len(pieces)]):
        if end > start:
            yield tuple(pieces[start:end])


def _speaker(segment: Segment) -> str | None:
    return " ".join(split(segment.speaker or "")) or None


def _shortened(text: str, max_columns: int) -> str:
    """The text, or as much of it as fits, with an ellipsis; a space at the end stays there."""
    if width(text) <= max_columns:
        return text
    kept = ""
    for cluster in clusters(text):
        if width(kept + cluster) > max_columns - 3:  # the ellipsis, a colon and a space
            break
        kept += cluster
    return f"{kept.rstrip()}…: "
