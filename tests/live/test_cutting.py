"""Pieces of synthetic sound as soon as their end is known."""

from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from granite_mlx.live.cutting import (
    TICK_SAMPLES,
    CommitSplitter,
    PauseSplitter,
    live_limits,
)
from granite_mlx.segments.activity import HOP_SAMPLES
from granite_mlx.segments.letters import NO_LETTERS, SPACE, Letters
from granite_mlx.segments.limits import SegmentLimits
from granite_mlx.segments.splitter import Piece, Splitter

from ..segments.sounds import RATE, silence, speech, tone

LIMITS = SegmentLimits(least_s=0.0, greatest_s=6.0, pause_s=0.4)


def deaf(samples: np.ndarray) -> Letters:
    return NO_LETTERS


def spelling(samples: np.ndarray) -> Letters:
    """An ear that hears words of four letters without a pause, one letter every 80 ms."""
    n = len(samples) // (8 * HOP_SAMPLES)
    labels = np.array([SPACE if k % 5 == 4 else ord("a") + k % 5 for k in range(n)], np.int64)
    return Letters(labels, np.arange(n, dtype=np.int64) * 8)


def split(
    samples: np.ndarray, size: int = 4000, kind: type[Splitter] = PauseSplitter, **options: Any
) -> list[tuple[float, Piece]]:
    """The pieces, and how many seconds had been heard when each came."""
    splitter = kind(**{"limits": LIMITS, "hear": deaf} | options)
    found = []
    for start in range(0, len(samples), size):
        heard_s = min(start + size, len(samples)) / RATE
        found += [(heard_s, piece) for piece in splitter.push(samples[start : start + size])]
    return found + [(len(samples) / RATE, piece) for piece in splitter.finish()]


def spans(found: list[tuple[float, Piece]]) -> list[tuple[int, int, bool]]:
    return [(piece.start, piece.end, piece.joined_on) for _, piece in found]


PARTS = [silence(1, 1e-3), speech(2), silence(0.7, 1e-3), speech(3), silence(2, 1e-3), speech(1)]
TALK = np.concatenate(PARTS)


def test_a_piece_comes_when_the_pause_has_lasted() -> None:
    found = split(TALK, TICK_SAMPLES)
    assert len(found) == 3
    for (heard_s, piece), end_s in zip(found[:2], (3.0, 6.7), strict=True):
        assert end_s - 0.1 <= piece.end / RATE <= end_s + 0.35
        assert heard_s <= end_s + LIMITS.pause_s + 0.2


def test_pieces_hold_the_samples_of_their_place() -> None:
    samples = np.concatenate([TALK, speech(30, seed=4)])
    for _, piece in split(samples, hear=spelling):
        np.testing.assert_array_equal(piece.samples, samples[piece.start : piece.end])


@settings(max_examples=25, deadline=None)
@given(
    parts=st.lists(
        st.one_of(
            st.builds(speech, st.floats(0.2, 4), st.integers(0, 9), st.sampled_from([0.2, 0.002])),
            st.builds(silence, st.floats(0.1, 3), st.sampled_from([0.0, 1e-3, 0.05])),
            st.builds(tone, st.floats(0.1, 2)),
        ),
        min_size=1,
        max_size=8,
    ),
    size=st.integers(50, 50_000),
)
def test_chunks_do_not_matter(parts: list[np.ndarray], size: int) -> None:
    samples = np.concatenate(parts)
    assert spans(split(samples, size, hear=spelling)) == spans(split(samples, hear=spelling))


def test_a_short_answer_does_not_wait_for_a_longer_one() -> None:
    """IBM's models go on over a pause for 5 s, where a whole recording is there."""
    assert live_limits(SegmentLimits()) == SegmentLimits(0.5, 30.0, 0.5)
    assert live_limits(SegmentLimits(), 0.8) == SegmentLimits(0.5, 30.0, 0.8)
    assert live_limits(LIMITS) == LIMITS
    (first, *_) = split(TALK, TICK_SAMPLES, limits=live_limits(SegmentLimits()))
    assert first[0] < 4


def test_without_a_pause_the_pieces_are_the_recordings() -> None:
    samples = speech(25)
    live = split(samples, hear=spelling)
    assert len(live) > 3
    assert all(piece.joined_on for _, piece in live[:-1])
    assert spans(live) == spans(split(samples, hear=spelling, kind=Splitter))


def test_what_is_committed_is_split_as_a_recording() -> None:
    assert spans(split(TALK, kind=CommitSplitter)) == spans(split(TALK, kind=Splitter))


def test_steady_noise_and_silence_are_dropped_as_they_come() -> None:
    splitter = PauseSplitter(LIMITS, deaf)
    for second in np.split(silence(60, 0.05), 60):
        assert list(splitter.push(second)) == []
    assert len(splitter._samples) < 2 * RATE
    assert splitter.open is None


def test_the_open_piece_is_what_is_being_said() -> None:
    splitter = PauseSplitter(LIMITS, deaf)
    samples = np.concatenate([silence(2, 1e-3), speech(1)])
    assert list(splitter.push(samples)) == []
    piece = splitter.open
    assert piece is not None
    assert 1.7 <= piece.start / RATE <= 2.0
    assert piece.seam == piece.start
    np.testing.assert_array_equal(piece.samples, samples[piece.start :])


def test_soft_speech_is_asked_about_and_kept() -> None:
    asked = []

    def hear(samples: np.ndarray) -> Letters:
        asked.append(len(samples))
        return spelling(samples) if np.abs(samples).max() > 1e-3 else NO_LETTERS

    parts = [speech(2), silence(1), speech(2, 3, level=0.005), silence(3)]
    found = split(np.concatenate(parts), TICK_SAMPLES, hear=hear)
    assert asked
    assert any(2.5 <= piece.start / RATE <= 3.2 for _, piece in found)
    assert len(split(np.concatenate(parts), TICK_SAMPLES)) == 1
