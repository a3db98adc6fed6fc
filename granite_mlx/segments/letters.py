"""What the character head hears of a stretch, and where: the pauses that energy does not tell.

A CTC head is sure of a letter in a frame or two and blank otherwise, so a long run of blanks is a
pause, and noise without speech is blank all over.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any, TypeAlias

import mlx.core as mx
import numpy as np

from granite_mlx.ctc.greedy import BLANK, N_CODE_POINTS

Array: TypeAlias = np.ndarray[Any, np.dtype[Any]]

AROUND_FRAMES = 8
"""A letter may sound so long before and after the frame that is sure of it (10 ms each)."""

FEWEST_LETTERS = 2
"""Fewer in a stretch are noise that happens to look like a letter."""

SPACE = ord(" ")


@dataclass(frozen=True)
class Letters:
    """Labels and where they are sure, in frames of 10 ms; blanks and repeats left out."""

    labels: Array  # (n,)
    frames: Array  # (n,)

    @property
    def is_speech(self) -> bool:
        """Whether anything is said."""
        return bool(np.count_nonzero(self.labels != SPACE) >= FEWEST_LETTERS)

    def sounds(self, n_frames: int) -> Array:
        """(n_frames,) bool: where something is said."""
        found = np.zeros(n_frames, bool)
        if self.is_speech:
            for frame in self.frames[self.labels != SPACE]:
                found[max(0, frame - AROUND_FRAMES) : frame + AROUND_FRAMES + 1] = True
        return found

    def text(self, start: int, end: int) -> str:
        """What is heard in the frames [start, end), as far as it is Latin-1."""
        inside = (self.frames >= start) & (self.frames < end) & (self.labels < N_CODE_POINTS)
        return "".join(map(chr, self.labels[inside].tolist()))

    def gap(self, first: int, last: int) -> tuple[int, int]:
        """The widest gap between letters within [first, last], between words if there is one."""
        spoken = self.frames[self.labels != SPACE]
        edges = np.clip(np.concatenate([[first], spoken, [last]]), first, last)
        widths = np.diff(edges)
        spaces = self.frames[self.labels == SPACE]
        between_words = np.array(
            [((spaces >= left) & (spaces <= right)).any() for left, right in pairwise(edges)]
        )
        if (between_words & (widths > 0)).any():
            widths = np.where(between_words, widths, 0)
        widest = len(widths) - 1 - int(np.argmax(widths[::-1]))
        return int(edges[widest]), int(edges[widest + 1])


NO_LETTERS = Letters(np.zeros(0, np.int64), np.zeros(0, np.int64))


def letters_of(logits: mx.array, frames_per_label: int) -> Letters:
    """(T, n_labels) logits of the character head -> the letters that it is sure of."""
    best = np.array(mx.argmax(logits, axis=-1)).astype(np.int64)
    new = (best != BLANK) & (best != np.concatenate([[BLANK], best[:-1]]))
    return Letters(best[new], np.flatnonzero(new) * frames_per_label)
