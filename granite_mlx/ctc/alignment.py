"""When each letter of a known text is said: the best path of CTC (Graves et al. 2006) through it.

Letters, and gaps between them, take turns: gap, letter, gap, ..., letter, gap. A path spends at
least one frame in each letter; it may leave out a gap, but not the one between two equal letters.
A word by ear is one such letter, which is whatever the head hears.

States are vectors and frames a loop. Backpointers are kept of one stretch of frames at a time;
the scores at the beginning of each stretch are enough to make them anew, the last ones first.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from granite_mlx.ctc.spelling import Spelled, classes_of, gap_classes

Array: TypeAlias = np.ndarray[Any, np.dtype[Any]]

LEAST_LOG_PROBABILITY = -9.0
"""What a letter costs where the head hears nothing of it: one wrong letter must not move others."""

BY_EAR_GAP = 0.5
"""What the blanks in a word by ear count: enough to keep it in one piece, too little for pauses."""

STRETCH = 2048
"""Frames of which backpointers are kept, one byte for each state: 40 s."""

_GAP, _BY_EAR = "", "*"


@dataclass(frozen=True)
class AlignedWord:
    """A word's place.

    Attributes:
        frames: of each letter, the first one and the one behind the last; (n, 2).
        log_probs: of each letter, the largest log-probability in its frames; (n,). None by ear.
    """

    text: str
    frames: Array
    log_probs: Array | None

    @property
    def start(self) -> int:
        """The first frame."""
        return int(self.frames[0, 0])

    @property
    def end(self) -> int:
        """The frame behind the last one."""
        return int(self.frames[-1, 1])


def log_softmax(logits: Array) -> Array:
    """(T, n) -> (T, n) float32 log-probabilities."""
    logits = logits.astype(np.float32)
    logits = logits - logits.max(axis=-1, keepdims=True)
    return logits - np.log(np.exp(logits).sum(axis=-1, keepdims=True))  # type: ignore[no-any-return]


def gap_log_probs(log_probs: Array) -> Array:
    """(T, n_classes) -> (T,): that no letter is said in a frame."""
    gaps = list(gap_classes(log_probs.shape[1]))
    return _floored(np.logaddexp.reduce(log_probs[:, gaps], axis=1))


def align(words: Sequence[Spelled], log_probs: Array) -> tuple[AlignedWord, ...] | None:
    """The places of words in a recording.

    Args:
        words: as `spell` gives them, at least one.
        log_probs: (T, n_classes) of the character head.

    Returns:
        A place for each word, in order; None where the frames are too few for the letters.
    """
    labels = [letter for word in words for letter in (word.letters or _BY_EAR)]
    columns = [_GAP, *sorted(set(labels))]
    table = _emissions(columns, log_probs)  # (T, n_columns)
    states = np.zeros(2 * len(labels) + 1, np.intp)  # the column of each state
    states[1::2] = [columns.index(label) for label in labels]
    if not _fits(states, len(log_probs)):
        return None
    frames = _letter_frames(best_path(table, states), len(labels))
    aligned, first = [], 0
    for word in words:
        end = first + len(word.letters or _BY_EAR)
        own = frames[first:end]
        known = _best_in(table, states[2 * first + 1 : 2 * end : 2], own) if word.letters else None
        aligned.append(AlignedWord(word.text, own, known))
        first = end
    return tuple(aligned)


def best_path(table: Array, states: Array, stretch: int = STRETCH) -> Array:
    """(T, n_columns) log-probabilities and the column of each state -> (T,) states.

    States 0, 2, ... are gaps; column 0 is theirs. The path ends in the last letter or behind it.
    """
    # Two states back is the letter before; from an equal one, the way leads through the gap.
    may_skip = np.zeros(len(states), bool)
    may_skip[3::2] = states[3::2] != states[1:-2:2]
    skip = np.where(may_skip, 0.0, -np.inf).astype(np.float32)
    scores = np.full(len(states), -np.inf, np.float32)
    scores[:2] = table[0, states[:2]]
    starts = range(1, len(table), stretch)
    saved = []
    for start in starts:
        saved.append(scores)
        rows, pointers = table[start : start + stretch], None
        if start == starts[-1]:
            pointers = np.empty((len(rows), len(states)), np.int8)
        scores = _advance(scores, rows, states, skip, pointers)
    path = np.empty(len(table), np.intp)
    path[-1] = len(states) - 1 if scores[-1] > scores[-2] else len(states) - 2
    for start, before in zip(reversed(starts), reversed(saved), strict=True):
        rows = table[start : start + stretch]
        if start != starts[-1]:
            n_states = path[start + len(rows) - 1] + 1  # no way leads back from those behind
            pointers = np.empty((len(rows), n_states), np.int8)
            _advance(before[:n_states], rows, states[:n_states], skip[:n_states], pointers)
        assert pointers is not None
        for t in range(start + len(rows) - 1, start - 1, -1):
            path[t - 1] = path[t] - pointers[t - start, path[t]]
    return path


def _advance(
    scores: Array, rows: Array, states: Array, skip: Array, pointers: Array | None
) -> Array:
    """The best scores of the states after some frames; `pointers` gets the steps that led there."""
    n = len(scores)
    padded = np.full(n + 2, -np.inf, np.float32)  # so that the states before the first are there
    padded[2:] = scores
    here, before, two_before = padded[2:], padded[1:-1], padded[:-2]
    skipped, stepped, later = np.empty(n, np.float32), np.empty(n, bool), np.empty(n, bool)
    moved = np.empty(n, np.float32)
    for t, row in enumerate(rows):
        np.add(two_before, skip, out=skipped)
        np.greater(skipped, before, out=later)
        np.maximum(before, skipped, out=moved)
        np.greater(moved, here, out=stepped)
        if pointers is not None:
            np.add(later, stepped, out=pointers[t], dtype=np.int8)
            pointers[t] *= stepped
        np.maximum(here, moved, out=here)
        here += row[states]
    return here.copy()


def _fits(states: Array, n_frames: int) -> bool:
    n_repeats = int((states[3::2] == states[1:-2:2]).sum())
    return n_frames >= len(states) // 2 + n_repeats


def _emissions(columns: Sequence[str], log_probs: Array) -> Array:
    """(T, n_classes) -> (T, n_columns)."""
    gap = gap_log_probs(log_probs)
    table = np.empty((len(log_probs), len(columns)), np.float32)
    for column, label in enumerate(columns):
        if label == _GAP:
            table[:, column] = gap
        elif label == _BY_EAR:
            table[:, column] = np.log1p(-(1 - BY_EAR_GAP) * np.exp(gap))
        else:
            both = log_probs[:, list(classes_of(label))]
            table[:, column] = _floored(np.logaddexp.reduce(both, axis=1))
    return table


def _floored(log_probs: Array) -> Array:
    return np.maximum(log_probs, LEAST_LOG_PROBABILITY)


def _letter_frames(path: Array, n_letters: int) -> Array:
    """(T,) states -> (n_letters, 2): each letter's first frame, and the one behind its last."""
    letters = np.arange(1, 2 * n_letters, 2)
    first = np.searchsorted(path, letters, side="left")
    behind = np.searchsorted(path, letters, side="right")
    return np.stack([first, behind], axis=1)


def _best_in(table: Array, columns: Array, frames: Array) -> Array:
    """The largest value of each column in its frames."""
    best = [table[a:b, column].max() for (a, b), column in zip(frames, columns, strict=True)]
    return np.array(best, np.float32)
