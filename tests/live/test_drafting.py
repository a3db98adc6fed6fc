"""What is shown of letters as they are heard, without a model."""

import numpy as np

from granite_mlx.live.drafting import EDGE_FRAMES, begun, grown, shown
from granite_mlx.segments.letters import Letters

BLOCK_FRAMES = 400
STEP_FRAMES = 12  # a letter
TEXT = " ".join("abcdefghijklmnopqrstuvwxyz"[n % 20 : n % 20 + 5] for n in range(60))


def heard(window: int, n_frames: int) -> Letters:
    """What a perfect ear makes of the frames [window, n_frames)."""
    frames = np.arange(len(TEXT)) * STEP_FRAMES
    inside = (frames >= window) & (frames < n_frames)
    labels = np.array([ord(c) for c in TEXT])
    return Letters(labels[inside], frames[inside] - window)


def test_a_word_is_shown_once_it_is_complete() -> None:
    state = begun(0, 0)
    for n_frames, text in [
        (4 * STEP_FRAMES + 1, ""),  # the fifth letter has just come
        (5 * STEP_FRAMES + 1, "abcde"),  # and a space behind it
        (11 * STEP_FRAMES, "abcde"),
    ]:
        state = grown(state, heard(0, n_frames), n_frames * 160, BLOCK_FRAMES)
        assert shown(state) == text


def test_a_pause_completes_a_word() -> None:
    last = 4 * STEP_FRAMES
    letters = heard(0, last + 1)
    for n_frames, text in [(last + EDGE_FRAMES - 1, ""), (last + EDGE_FRAMES, "abcde")]:
        state = grown(begun(0, 0), letters, n_frames * 160, BLOCK_FRAMES)
        assert shown(state) == text


def test_the_window_goes_on_and_no_letter_is_lost_or_doubled() -> None:
    state, longest = begun(0, 0), 0
    last = len(TEXT) * STEP_FRAMES
    for n_frames in range(50, last + 60, 30):
        longest = max(longest, n_frames - state.window)
        state = grown(state, heard(state.window, n_frames), n_frames * 160, BLOCK_FRAMES)
        text = shown(state)
        assert TEXT.startswith(text)
    assert shown(state) == TEXT
    assert longest <= 2 * BLOCK_FRAMES + 100 + 30
    assert state.window % BLOCK_FRAMES == 0
    assert state.window > 0


def test_what_is_heard_otherwise_later_changes_until_it_settles() -> None:
    state = grown(begun(0, 0), heard(0, 300), 300 * 160, BLOCK_FRAMES)
    other = Letters(np.array([ord("x"), ord("y")]), np.array([10, 20]))
    state = grown(state, other, 310 * 160, BLOCK_FRAMES)
    assert shown(state) == "xy"
    state = grown(state, heard(0, 901), 901 * 160, BLOCK_FRAMES)
    assert state.window == BLOCK_FRAMES
    state = grown(state, Letters(other.labels, np.array([0, 500])), 1000 * 160, BLOCK_FRAMES)
    kept = TEXT[: -(-600 // STEP_FRAMES)]
    assert shown(state) == kept + "y"  # what is before the border stays, x is left of it


def test_what_is_before_a_seam_belongs_to_the_piece_before() -> None:
    seam = 6 * STEP_FRAMES
    state = grown(begun(1000, 1000 + seam * 160), heard(0, 400), 400 * 160, BLOCK_FRAMES)
    assert shown(state).split()[0] == TEXT.split()[1]
