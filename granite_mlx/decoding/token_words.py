"""Which tokens write which word of a text."""

from __future__ import annotations

from collections.abc import Sequence


def word_log_probs(pieces: Sequence[str], log_probs: Sequence[float]) -> list[float]:
    """The log-probability of each word: the sum over the tokens that have a part in it.

    Args:
        pieces: the text of each token by itself. A word is what lies between spaces.
        log_probs: of the tokens, in nats.
    """
    words: list[float] = []
    between = True
    for piece, log_prob in zip(pieces, log_probs, strict=True):
        touched = None
        for character in piece:
            if character.isspace():
                between = True
                continue
            if between:
                words.append(0.0)
                between = False
            if touched != len(words):
                words[-1] += log_prob
                touched = len(words)
    return words
