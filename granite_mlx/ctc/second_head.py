"""The CTC head over the decoder's own tokens that comes beside the weights of 4.1-2b and 5.0-2b.

Four frames become one, weighted by how little the character head after the middle block thinks them
blank; label i is token i - 1, and 0 is blank. Written after a description of the file, which could
not be downloaded here.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import mlx.core as mx

from granite_mlx.ctc.greedy import BLANK, greedy_labels

POOLED_FRAMES = 4
_SMALLEST_WEIGHT = 1e-8


@dataclass(frozen=True)
class SecondHead:
    """A matrix (n_labels, hidden_dim) and its bias (n_labels,)."""

    weight: mx.array
    bias: mx.array

    def token_ids(self, frames: mx.array, mid_logits: mx.array) -> list[int]:
        """Greedy token ids of one recording.

        Args:
            frames: (T, frame_dim) of the encoder; the last hidden_dim values count.
            mid_logits: (T, output_dim) of the character head after the middle block.
        """
        frames = frames[:, -self.weight.shape[1] :]
        pooled = pool(frames, 1 - mx.softmax(mid_logits.astype(mx.float32), axis=-1)[:, BLANK])
        logits = pooled.astype(self.weight.dtype) @ self.weight.T + self.bias
        return [label - 1 for label in greedy_labels(logits)]


def pool(frames: mx.array, weights: mx.array) -> mx.array:
    """(T, D) frames and (T,) weights -> (ceil(T / 4), D): weighted means of four frames each."""
    n_missing = -len(frames) % POOLED_FRAMES
    frames = mx.pad(frames, [(0, n_missing), (0, 0)]).reshape(-1, POOLED_FRAMES, frames.shape[-1])
    weights = mx.pad(weights, [(0, n_missing)]).reshape(-1, POOLED_FRAMES, 1)
    weights = weights / (mx.sum(weights, axis=1, keepdims=True) + _SMALLEST_WEIGHT)
    return mx.sum(frames * weights, axis=1)


def read_second_head(
    path: Path, hidden_dim: int, n_labels: int, dtype: mx.Dtype
) -> SecondHead | None:
    """The head in a file; None where there is none that fits, for drafts can do without."""
    if not path.is_file():
        return None
    try:
        tensors = mx.load(str(path))
    except (RuntimeError, ValueError):
        return None
    assert isinstance(tensors, dict)
    weight = tensors.get("weight")
    if weight is None or weight.shape != (n_labels, hidden_dim):
        return None
    bias = tensors.get("bias", mx.zeros(n_labels))
    if bias.shape != (n_labels,):
        return None
    head = SecondHead(weight.astype(dtype), bias.astype(dtype))
    mx.eval(head.weight, head.bias)
    return head
