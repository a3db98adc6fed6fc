"""How sure the character head is of each word that it has heard, and how loud that was.

Of sounds that are no speech, as a voice played backwards, it is unsure, though it writes letters.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import mlx.core as mx
import numpy as np

from granite_mlx.ctc.greedy import BLANK, N_CODE_POINTS
from granite_mlx.ctc.witness import letters

Array: TypeAlias = np.ndarray[Any, np.dtype[Any]]

LEAST_PROBABILITY = 0.9
"""Of the letters of a word, or of several, their geometric mean."""

SOFTEST_DB = -12.0
"""A word against all that was heard: what is softer is somebody in the background."""

BEFORE_S, BEHIND_S = 0.02, 0.1
"""What is listened to around a letter's frame."""


@dataclass(frozen=True)
class HeardLabels:
    """Greedy labels, one for each that was heard.

    Attributes:
        labels: as `greedy_labels`.
        probabilities: of each in its first frame.
        places: that frame, as a part of the recording from 0 to 1.
    """

    labels: tuple[int, ...]
    probabilities: tuple[float, ...] = ()
    places: tuple[float, ...] = ()


def heard_labels(logits: mx.array) -> HeardLabels:
    """(T, n_labels) logits of one recording -> its labels, repeats merged and blanks removed."""
    highest = mx.max(logits, axis=-1).astype(mx.float32)
    likely = mx.exp(highest - mx.logsumexp(logits.astype(mx.float32), axis=-1))
    best, sure = np.array(mx.argmax(logits, axis=-1)), np.array(likely)
    frames = np.flatnonzero((np.diff(best, prepend=BLANK) != 0) & (best != BLANK))
    return HeardLabels(
        tuple(best[frames].tolist()),
        tuple(sure[frames].tolist()),
        tuple(((frames + 0.5) / max(1, len(best))).tolist()),
    )


@dataclass(frozen=True)
class Certainty:
    """Of one word, or of several: the sum of the log-probabilities of its letters, and how many.

    What is too soft has no probability.
    """

    log_prob: float
    n_letters: int

    def __add__(self, other: Certainty) -> Certainty:
        return Certainty(self.log_prob + other.log_prob, self.n_letters + other.n_letters)

    @property
    def is_certain(self) -> bool:
        """Whether it was surely said."""
        return self.log_prob >= self.n_letters * math.log(LEAST_PROBABILITY)


def certainties(heard: HeardLabels, samples: Array, sample_rate: int) -> list[Certainty]:
    """Of each word with a letter that was heard in (n,) samples, in order."""
    words = _words(heard.labels)
    power = _power(samples, [round(part * len(samples)) for part in heard.places], sample_rate)
    spoken = [n for word in words for n in word]
    if not spoken:
        return []
    softest = float(np.mean(power[spoken])) * 10 ** (SOFTEST_DB / 10)
    log_probs = [
        math.fsum(math.log(max(heard.probabilities[n], 1e-9)) for n in word)
        if float(np.mean(power[word])) >= softest
        else -math.inf
        for word in words
    ]
    return [Certainty(one, len(word)) for one, word in zip(log_probs, words, strict=True)]


def _words(labels: Sequence[int]) -> list[list[int]]:
    """The places of the letters of each word; `spelt` has the words."""
    words: list[list[int]] = [[]]
    for n, label in enumerate(labels):
        if label >= N_CODE_POINTS:
            continue
        if chr(label).isspace():
            words.append([])
        elif letters(chr(label)):
            words[-1].append(n)
    return [word for word in words if word]


def _power(samples: Array, centres: Sequence[int], sample_rate: int) -> Array:
    """(n,) mean square around each of n places."""
    before, behind = (round(s * sample_rate) for s in (BEFORE_S, BEHIND_S))
    sums = np.concatenate([[0.0], np.cumsum(np.square(samples, dtype=np.float64))])
    starts = np.clip(np.array(centres, np.int64) - before, 0, len(samples))
    ends = np.clip(np.array(centres, np.int64) + behind, 0, len(samples))
    power: Array = (sums[ends] - sums[starts]) / np.maximum(1, ends - starts)
    return power
