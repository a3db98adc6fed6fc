"""How probably a word is right, from what the decoder and the character head thought of it.

Both are as a rule far too sure of themselves. The map is logistic over the two log-odds; where only
one of the two is known it has numbers of its own. They were fitted on noisy recordings of the
demo's training voices by `python -m benchmarks.confidence --fit`; docs/word-times.md tells how well
they do on others.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

LARGEST_LOG_ODDS = 9.0

DECIMALS = 3
"""More are not known, and batches sum up in another order."""


@dataclass(frozen=True)
class ConfidenceMap:
    """Log-odds that a word is right: bias + decoder * its log-odds + head * its log-odds."""

    bias: float
    decoder: float
    head: float

    def __call__(self, decoder: float, head: float) -> float:
        """Two features, as `log_odds` gives them -> a confidence between 0 and 1."""
        score = self.bias + self.decoder * decoder + self.head * head
        return round(1 / (1 + math.exp(-score)), DECIMALS)


BOTH = ConfidenceMap(bias=0.051, decoder=0.583, head=0.687)
DECODER_ALONE = ConfidenceMap(bias=-0.495, decoder=1.001, head=0.0)
HEAD_ALONE = ConfidenceMap(bias=1.009, decoder=0.0, head=0.944)


def confidence(decoder_log_prob: float | None, head_log_prob: float | None) -> float | None:
    """How probably a word is right; None where nothing is known.

    Args:
        decoder_log_prob: of all its tokens, in nats.
        head_log_prob: of its letters where they are aligned, their mean.
    """
    if decoder_log_prob is None and head_log_prob is None:
        return None
    if decoder_log_prob is None:
        known = HEAD_ALONE
    else:
        known = DECODER_ALONE if head_log_prob is None else BOTH
    return known(log_odds(decoder_log_prob or 0.0), log_odds(head_log_prob or 0.0))


def log_odds(log_prob: float) -> float:
    """Of a probability, within what float32 can tell."""
    least = -LARGEST_LOG_ODDS
    if log_prob <= least:
        return least
    return min(LARGEST_LOG_ODDS, log_prob - math.log(max(-math.expm1(log_prob), 1e-9)))
