"""How often a phrase stands in what the character head has heard."""

from __future__ import annotations

import numpy as np

MOST_WRONG = 3
"""Of a copy, one letter in so many may be another, missing, or too many."""


def n_times(phrase: str, heard: str) -> int:
    """Near copies of a phrase, none of which overlap (Sellers 1980).

    Args:
        phrase: letters alone (`ctc.witness.letters`), at least one.
        heard: likewise; time grows with its length.
    """
    own = np.array([ord(letter) for letter in phrase])
    steps = np.arange(len(own) + 1)
    found, wrong = 0, steps  # the least errors between the first n letters and what was heard last
    for letter in heard:
        beside = wrong[:-1] + (own != ord(letter))
        wrong = np.minimum(wrong + 1, np.concatenate([[0], beside]))  # a copy begins anywhere
        wrong = np.minimum.accumulate(wrong - steps) + steps
        if wrong[-1] <= len(own) // MOST_WRONG:
            found, wrong = found + 1, steps
    return found
