"""Where words begin and end, from where their letters are and from how loud it is between them.

A CTC head marks letters at their beginnings, for a frame or two: the first letter of a word stands
where the word begins, the last one well before its end. So a word ends where the next one begins,
unless it is quiet between the two for long enough to be a pause; the head marks no pauses (its
blank and its space are everywhere between letters), so loudness tells those. Starts are taken from
the head alone, for noise does not move them.

The numbers were chosen on recordings of the demo's training voices, by
`python -m benchmarks.word_times --calibrate`; docs/word-times.md has what they come to on others.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from granite_mlx.ctc.alignment import AlignedWord

Array: TypeAlias = np.ndarray[Any, np.dtype[Any]]

FRAME_S = 0.02
LEVEL_S = 0.01
"""Of a frame of the encoder, and of a value of loudness."""

FLOOR_PERCENT = 10.0
"""Of the values between two words, those that are taken to be below the noise."""

_LEAST_POWER = 1e-10


@dataclass(frozen=True)
class BorderRule:
    """How borders are placed.

    Attributes:
        lead_s: a letter's first frame comes so much after the letter's sound begins.
        least_pause_s: what is quiet for a shorter time is no pause but the closure of a p, t or k.
        above_floor_db: in a pause it is not louder than its quietest tenth by more than this.
        below_word_db: what is so far below the word's loudest place is a pause in any case.
        least_below_word_db: what is not so far below it is none, however even it is.
        longest_tail_s: behind the first frame of a word's last letter, where it is not quiet.
        tail_s: what is taken then.
    """

    lead_s: float = 0.004
    least_pause_s: float = 0.08
    above_floor_db: float = 3.0
    below_word_db: float = 30.0
    least_below_word_db: float = 9.0
    longest_tail_s: float = 0.6
    tail_s: float = 0.1


RULE = BorderRule()


def levels_db(samples: Array, rate: int) -> Array:
    """(n,) samples -> how loud each 10 ms are, in dB, smoothed over three of them."""
    hop = round(LEVEL_S * rate)
    n = max(1, -(-len(samples) // hop))
    squares = np.zeros(n * hop, np.float32)
    squares[: len(samples)] = np.square(samples)
    power = np.pad(squares.reshape(n, hop).mean(axis=1), 1, mode="edge")
    smooth = (power[:-2] + power[1:-1] + power[2:]) / 3
    return 10 * np.log10(smooth + _LEAST_POWER)  # type: ignore[no-any-return]


def word_spans(
    words: Sequence[AlignedWord], levels: Array, duration_s: float, rule: BorderRule = RULE
) -> list[tuple[float, float]]:
    """(start_s, end_s) of each word: in order, apart, none empty, within the recording."""
    starts = [max(0.0, word.start * FRAME_S - rule.lead_s) for word in words]
    spans = []
    for word, start_s, limit_s in zip(words, starts, [*starts, duration_s][1:], strict=True):
        # A head may go on hearing a letter in the silence behind it: its first frame counts.
        heard = word.end if word.log_probs is None else int(word.frames[-1, 0]) + 1
        heard_s = min(heard * FRAME_S, limit_s)
        end_s = _end(levels, start_s, heard_s, limit_s, rule)
        spans.append((start_s, end_s))
    return spans


def _end(levels: Array, start_s: float, heard_s: float, limit_s: float, rule: BorderRule) -> float:
    """Where a word ends, between where its last letter is heard and what follows."""
    first, end = _place(heard_s), _place(limit_s)
    gap = levels[first:end]
    if len(gap) * LEVEL_S < rule.least_pause_s:
        return limit_s
    loudest = float(levels[_place(start_s) : max(first, _place(start_s) + 1)].max())
    quiet = float(np.clip(
        np.percentile(gap, FLOOR_PERCENT) + rule.above_floor_db,
        loudest - rule.below_word_db,
        loudest - rule.least_below_word_db,
    ))  # fmt: skip
    begin, length = _longest_run(gap <= quiet)
    if length * LEVEL_S >= rule.least_pause_s:
        return min(heard_s + begin * LEVEL_S, limit_s)
    if limit_s - heard_s > rule.longest_tail_s:
        return heard_s + rule.tail_s
    return limit_s


def _place(time_s: float) -> int:
    return round(time_s / LEVEL_S)


def _longest_run(wanted: Array) -> tuple[int, int]:
    """Where the longest run of True begins, and its length."""
    edges = np.diff(np.concatenate([[False], wanted, [False]]).astype(np.int8))
    begins, ends = np.flatnonzero(edges == 1), np.flatnonzero(edges == -1)
    if not len(begins):
        return 0, 0
    longest = int(np.argmax(ends - begins))
    return int(begins[longest]), int(ends[longest] - begins[longest])
