"""Greedy text of the character head (CTC, Graves et al. 2006)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import mlx.core as mx
import numpy as np

BLANK = 0
N_CODE_POINTS = 256
"""Outputs below this are Latin-1 code points; the katakana above have no confirmed order."""


def greedy_labels(logits: mx.array) -> list[int]:
    """(T, n_labels) logits of one recording -> its labels, repeats merged and blanks removed."""
    best: list[int] = np.array(mx.argmax(logits, axis=-1)).tolist()
    pairs = zip(best, [BLANK, *best], strict=False)
    return [label for label, previous in pairs if label not in (previous, BLANK)]


def greedy_text(logits: mx.array) -> str:
    """(T, output_dim) logits of one recording -> its text.

    Characters beyond Latin-1 are left out: their order in the published head is not documented.
    """
    return spelt(greedy_labels(logits))


def knows_letters(labels: Sequence[int]) -> bool:
    """Whether most labels are letters that are known: of Japanese speech they are not."""
    return 2 * sum(label < N_CODE_POINTS for label in labels) > len(labels)


def spelt(labels: Iterable[int]) -> str:
    """The text of labels, as far as they are known."""
    return "".join(chr(label) for label in labels if label < N_CODE_POINTS).strip()
