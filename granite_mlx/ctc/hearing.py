"""What the CTC heads make of a recording before the decoder has begun."""

from __future__ import annotations

from dataclasses import dataclass

import mlx.core as mx
import numpy as np

HIGHEST_ENTROPY = 0.7
"""In nats, of any frame: below it IBM takes the character head's text as it is, for 4.0."""


@dataclass(frozen=True)
class Hearing:
    """A head's greedy text and its entropy where it is least sure: nats, inf if not known."""

    text: str
    entropy: float

    @property
    def is_sure(self) -> bool:
        """Whether the text may stand without the decoder having seen it."""
        return bool(self.text) and self.entropy < HIGHEST_ENTROPY


def highest_entropy(logits: mx.array) -> float:
    """(T, n) logits of one recording -> the largest entropy of a frame, in nats."""
    log_probs = logits.astype(mx.float32)
    log_probs = log_probs - mx.logsumexp(log_probs, axis=-1, keepdims=True)
    entropy = -mx.sum(mx.exp(log_probs) * log_probs, axis=-1)
    return float(np.array(mx.max(entropy)))
