"""What the character head hears of a segment: its first choice, and its second.

Where the head is unsure of a letter, the second reading has the other one; terms are looked for in
both.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np

from granite_mlx.ctc.greedy import BLANK, spelt

Array: TypeAlias = np.ndarray[Any, np.dtype[Any]]

LEAST_PROBABILITY = 0.2
"""Of a label that is a second choice."""


def readings_of(logits: Array) -> list[str]:
    """(T, n_labels) logits -> the text of the likeliest labels, and that of likely other ones."""
    if not len(logits):
        return []
    first = logits.argmax(axis=1)
    rows = np.arange(len(logits))
    others = logits.astype(np.float32)
    others -= others[rows, first][:, None]
    total = np.exp(others).sum(axis=1)
    others[rows, first] = -np.inf
    second = others.argmax(axis=1)
    is_likely = np.exp(others[rows, second]) >= LEAST_PROBABILITY * total
    readings = dict.fromkeys([_text(first), _text(np.where(is_likely, second, first))])
    return [text for text in readings if text]


def _text(labels: Array) -> str:
    """Labels of frames to text: repeats merged, blanks removed."""
    is_new = np.diff(labels, prepend=BLANK) != 0
    return spelt(labels[is_new & (labels != BLANK)].tolist())
