"""How often a phrase stands in what the character head has heard."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np

MOST_WRONG = 3
"""Of a copy, one letter in so many may be another, missing, or too many."""

Numbers: TypeAlias = np.ndarray[Any, np.dtype[np.int64]]

_NOTHING = "\0"


def n_times(phrase: str, heard: str) -> int:
    """Near copies of a phrase, none of which overlap (Sellers 1980).

    Args:
        phrase: letters alone (`ctc.witness.letters`), at least one.
        heard: likewise; time grows with its length.
    """
    own = np.array([ord(letter) for letter in phrase])
    anew = np.arange(len(own) + 1)
    n_most = len(own) // MOST_WRONG
    # The least errors between the first letters of the phrase and what was heard last: (n + 1,).
    found, wrong = 0, anew
    for letter in heard + _NOTHING:
        longer = _with(letter, own, wrong)
        if wrong[-1] <= n_most and longer[-1] >= wrong[-1]:  # a copy ends where it fits best
            found, longer = found + 1, _with(letter, own, anew)
        wrong = longer
    return found


def _with(letter: str, own: Numbers, wrong: Numbers) -> Numbers:
    """The errors once another letter was heard."""
    beside = wrong[:-1] + (own != ord(letter))
    errors = np.minimum(wrong + 1, np.concatenate([[0], beside]))  # a copy begins anywhere
    places = np.arange(len(errors))
    return np.minimum.accumulate(errors - places) + places
