"""Greedy text of the character head (CTC, Graves et al. 2006)."""

from __future__ import annotations

import mlx.core as mx
import numpy as np

BLANK = 0
N_CODE_POINTS = 256
"""Outputs below this are Latin-1 code points; the katakana above have no confirmed order."""


def greedy_text(logits: mx.array) -> str:
    """(T, output_dim) logits of one recording -> its text, repeats merged and blanks removed.

    Characters beyond Latin-1 are left out: their order in the published head is not documented.
    """
    best: list[int] = np.array(mx.argmax(logits, axis=-1)).tolist()
    merged = [i for i, previous in zip(best, [BLANK, *best], strict=False) if i != previous]
    return "".join(chr(i) for i in merged if BLANK < i < N_CODE_POINTS).strip()
