"""What the character head hears of an open piece, while it grows: pure functions of a state.

The encoder attends in blocks of 4 s, but what it makes of a closed block still depends on the
next one: the convolutions reach 7 frames a layer over the border, attention spreads what they bring
over the block, and the features know the loudest value so far. So no closed block can be kept
exactly. Drafts may change and need not be exact: a window of at most two blocks and a second is
encoded again, and letters stay as they are once half a block has been encoded on either side of
them. The final text comes from encoding the whole piece anew.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from granite_mlx.ctc.greedy import N_CODE_POINTS
from granite_mlx.segments.activity import FRAMES_PER_S, HOP_SAMPLES
from granite_mlx.segments.letters import NO_LETTERS, SPACE, Letters

BEHIND_FRAMES = 1 * FRAMES_PER_S
"""Of the third block, before the first one is left behind."""

EDGE_FRAMES = 25
"""A letter so near the end lacks what comes after it, and may be heard otherwise with that: a word
that goes so far is not shown yet."""


@dataclass(frozen=True, eq=False)
class DraftState:
    """The letters of an open piece, in frames of 10 ms from its start.

    Attributes:
        start: the piece's first sample.
        settled: letters that are no longer listened to.
        letters: those behind them, as they were last heard.
        from_frame: where the settled ones end.
        window: where the next window begins: the border of a block.
        n_frames: heard so far.
    """

    start: int
    settled: Letters = NO_LETTERS
    letters: Letters = NO_LETTERS
    from_frame: int = 0
    window: int = 0
    n_frames: int = 0

    @property
    def window_samples(self) -> int:
        """Of the piece, what need not be listened to again."""
        return self.window * HOP_SAMPLES


def begun(start: int, seam: int) -> DraftState:
    """A piece of which nothing was heard; what is before the seam is not its own."""
    return DraftState(start, from_frame=(seam - start) // HOP_SAMPLES)


def grown(state: DraftState, heard: Letters, n_samples: int, block_frames: int) -> DraftState:
    """The state when `heard` is what the head makes of the window.

    Args:
        n_samples: of the piece, from its start to the window's end.
        block_frames: of the encoder's attention, in frames of 10 ms.
    """
    frames = heard.frames + state.window
    new = frames >= state.from_frame
    letters = Letters(heard.labels[new], frames[new])
    state = replace(state, letters=letters, n_frames=n_samples // HOP_SAMPLES)
    if state.n_frames < state.window + 2 * block_frames + BEHIND_FRAMES:
        return state
    # The next window begins a block later; its first half has too little before it to be heard.
    border = max(state.from_frame, state.window + block_frames * 3 // 2)
    old = letters.frames < border
    return replace(
        state,
        settled=_joined(state.settled, Letters(letters.labels[old], letters.frames[old])),
        letters=Letters(letters.labels[~old], letters.frames[~old]),
        from_frame=border,
        window=state.window + block_frames,
    )


def shown(state: DraftState) -> str:
    """The words that are complete, as far as they are Latin-1."""
    letters = _joined(state.settled, state.letters)
    n_sure = int(np.searchsorted(letters.frames, state.n_frames - EDGE_FRAMES, side="right"))
    if n_sure < len(letters.labels) and letters.labels[n_sure] != SPACE:
        spaces = np.flatnonzero(letters.labels[:n_sure] == SPACE)
        n_sure = int(spaces[-1]) if len(spaces) else 0
    labels = letters.labels[:n_sure]
    text = "".join(map(chr, labels[labels < N_CODE_POINTS].tolist()))
    return " ".join(text.split())


def _joined(before: Letters, behind: Letters) -> Letters:
    return Letters(
        np.concatenate([before.labels, behind.labels]),
        np.concatenate([before.frames, behind.frames]),
    )
