"""Synthetic sounds to pieces, with and without an ear that hears letters."""

from collections.abc import Iterator
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from granite_mlx.segments.activity import HOP_SAMPLES
from granite_mlx.segments.letters import SPACE, Letters
from granite_mlx.segments.limits import SegmentLimits
from granite_mlx.segments.splitter import Piece, Splitter

from .sounds import RATE, silence, speech, tone

LIMITS = SegmentLimits(least_s=2.0, greatest_s=10.0, pause_s=0.4)
NOTHING = Letters(np.zeros(0, np.int64), np.zeros(0, np.int64))


def deaf(samples: np.ndarray) -> Letters:
    """An ear that hears no letter."""
    return NOTHING


def spelling(samples: np.ndarray) -> Letters:
    """An ear that hears words of four letters without a pause, one letter every 80 ms."""
    n = len(samples) // (8 * HOP_SAMPLES)
    labels = np.array([SPACE if k % 5 == 4 else ord("a") + k % 5 for k in range(n)], np.int64)
    return Letters(labels, np.arange(n, dtype=np.int64) * 8)


def split(samples: np.ndarray, block: int = 4000, **options) -> list[Piece]:
    def pieces() -> Iterator[Piece]:
        splitter = Splitter(**{"limits": LIMITS, "hear": deaf} | options)
        for start in range(0, len(samples), block):
            yield from splitter.push(samples[start : start + block])
        yield from splitter.finish()

    return list(pieces())


def spans(pieces: list[Piece]) -> list[tuple[float, float]]:
    return [(piece.start / RATE, piece.end / RATE) for piece in pieces]


def test_pieces_end_at_pauses() -> None:
    parts = [speech(3), silence(0.6), speech(4), silence(2), speech(2.5), silence(0.5), speech(3)]
    found = spans(split(np.concatenate(parts)))
    wanted = [(0, 3), (3.6, 7.6), (9.6, 12.1), (12.6, 15.6)]
    assert len(found) == len(wanted)
    for (start, end), (first, last) in zip(found, wanted, strict=True):
        assert first - 0.35 <= start <= first
        assert last <= end <= last + 0.35


def test_a_short_one_goes_on_over_a_pause_and_stops_at_a_long_one() -> None:
    over = split(np.concatenate([speech(1), silence(0.6), speech(9), silence(0.6), speech(5)]))
    assert over[0].end / RATE > 5
    stopped = split(np.concatenate([speech(1), silence(1.3), speech(9), silence(0.6), speech(5)]))
    assert 1 <= stopped[0].end / RATE <= 1.35


def test_without_a_pause_the_longest_gap_ends_a_piece() -> None:
    gap_s, parts = 0.25, [speech(2), silence(0.25), speech(3), silence(0.3), speech(7)]
    first, *_ = split(np.concatenate(parts))
    assert first.end / RATE == pytest.approx(2 + gap_s + 3 + 0.15, abs=0.05)
    assert not first.joined_on


def test_what_is_short_comes_as_it_is() -> None:
    samples = np.concatenate([silence(2), speech(2), silence(3)])
    (piece,) = split(samples)
    np.testing.assert_array_equal(piece.samples, samples)
    assert piece.start == 0


def test_pieces_hold_the_samples_of_their_place() -> None:
    samples = np.concatenate([silence(1.5)] + [speech(3, seed=n) for n in range(9)])
    for piece in split(samples, hear=spelling):
        np.testing.assert_array_equal(piece.samples, samples[piece.start : piece.end])


@pytest.mark.parametrize("block", [1, 159, 16_000, 10_000_000])
def test_blocks_do_not_matter(block: int) -> None:
    parts = [speech(3), silence(0.6), speech(21), silence(2, 0.001), speech(2.5)]
    samples = np.concatenate(parts)[:: 1 if block > 1 else 8]
    assert spans(split(samples, block, hear=spelling)) == spans(split(samples, hear=spelling))


# Where nobody pauses


def test_overlapping_pieces_share_a_seam() -> None:
    pieces = split(speech(35), hear=spelling)
    assert len(pieces) > 3
    for before, after in pairwise(pieces):
        assert before.joined_on
        assert after.seam is not None
        assert after.start < after.seam.at < before.end == after.seam.until
        assert before.end - after.start == pytest.approx(2.5 * RATE, abs=2 * HOP_SAMPLES)
        assert {*after.seam.before, *after.seam.after} <= set("abcd ")
        assert len(after.seam.before) > 5
    assert pieces[0].seam is None
    assert not pieces[-1].joined_on


def test_what_cannot_be_joined_does_not_overlap() -> None:
    pieces = split(speech(35), hear=spelling, overlaps=False)
    assert len(pieces) > 3
    for before, after in pairwise(pieces):
        assert before.end == after.start
        assert after.seam is None


def test_the_ear_finds_the_pauses_that_energy_does_not() -> None:
    """Speech between 3 and 5 s and from 7 s on, in a din that goes up and down all the time."""

    def hear(samples: np.ndarray) -> Letters:
        (start,) = np.flatnonzero(np.isclose(din, samples[0], atol=0))[:1]
        frames = np.concatenate([np.arange(300, 500, 7), np.arange(700, 2000, 7)])
        frames = frames - start // HOP_SAMPLES
        frames = frames[(frames >= 0) & (frames < len(samples) // HOP_SAMPLES)]
        return Letters(np.full(len(frames), ord("a")), frames)

    din = speech(20)
    first, second, *_ = spans(split(din, hear=hear))
    assert first == (pytest.approx(2.7, abs=0.15), pytest.approx(5.3, abs=0.15))
    assert second[0] == pytest.approx(6.7, abs=0.15)


# What is no speech


@pytest.mark.parametrize(
    "nothing",
    [
        silence(40),
        silence(40, 1e-4),
        silence(40, 0.1),
        tone(40),
        silence(40) + 0.5,
        np.concatenate([silence(13), tone(14), silence(13, 0.01)]),
    ],
    ids=["silence", "soft noise", "loud noise", "tone", "constant", "one after the other"],
)
def test_long_stretches_without_speech_give_nothing(nothing: np.ndarray) -> None:
    def never(samples: np.ndarray) -> Letters:
        raise AssertionError("the encoder was asked")

    assert split(nothing.astype(np.float32), hear=never) == []
    around = np.concatenate([speech(3), silence(1), nothing, silence(1), speech(3, seed=5)])
    first, last = spans(split(around.astype(np.float32)))
    assert first[1] < 3.5
    assert last[0] > len(around) / RATE - 3.5


@pytest.mark.parametrize("level", [0.003, 0.03, 0.3])
def test_steady_sounds_begin_and_end_without_a_trace(level: float) -> None:
    """Whatever part of a frame they begin in, and however near to speech."""
    for n in range(8):
        din = [silence(0.31 + n / 300), silence(3 + n / 70, level), silence(0.33 + n / 500)]
        whole = np.concatenate([speech(6), *din, speech(6, seed=4), *din, speech(3, seed=5)])
        pieces = spans(split(whole))
        assert len(pieces) == 3
        assert sum(end - start for start, end in pieces) < 16.5


def test_a_click_is_no_speech() -> None:
    samples = silence(30, 1e-4)
    samples[200_000] = 1.0
    assert split(samples) == []


def test_soft_speech_between_loud_speech_is_heard() -> None:
    soft = speech(3, level=0.001)
    samples = np.concatenate([speech(4), silence(2), soft, silence(2), speech(4, seed=3)])
    assert any(start < 6.2 and end > 8.8 for start, end in spans(split(samples, hear=spelling)))


def test_din_without_letters_is_dropped() -> None:
    """But for what is left at the end, which is short enough to be heard as it is."""
    assert [piece.end for piece in split(speech(60))[:-1]] == []


@pytest.mark.parametrize("n_left", [1, 100, 160, 330, 500, 800])
def test_the_ear_is_not_asked_about_next_to_nothing(n_left: int) -> None:
    """Soft sound in the very last frames, behind a pause."""
    asked: list[int] = []

    def hear(samples: np.ndarray) -> Letters:
        asked.append(len(samples))
        return NOTHING

    soft = speech(1, level=0.002)[:n_left]
    samples = np.concatenate([speech(9), silence(0.7), soft])
    assert len(split(samples, hear=hear)) == 1
    assert all(n >= 640 for n in asked)


@pytest.mark.parametrize("n_samples", [0, 1, 159, 160, 161, 639])
def test_very_short(n_samples: int) -> None:
    pieces = split(speech(1)[:n_samples])
    assert [len(piece.samples) for piece in pieces] == ([n_samples] if n_samples else [])


@settings(max_examples=40, deadline=None)
@given(
    st.lists(
        st.tuples(st.floats(0.3, 14), st.sampled_from([0.0, 0.1, 0.25, 0.5, 1.3, 4.0, 30.0])),
        min_size=1,
        max_size=6,
    ),
    st.sampled_from([0.0, 1e-4, 1e-3]),
    st.booleans(),
)
def test_all_speech_is_in_pieces_in_order(
    parts: list[tuple[float, float]], noise: float, overlaps: bool
) -> None:
    pauses, talks, at_s = [], [], 0.0
    for n, (talk_s, pause_s) in enumerate(parts):
        talks.append((at_s, at_s + talk_s))
        pauses += [speech(talk_s, seed=n), silence(pause_s)]
        at_s += talk_s + pause_s
    samples = np.concatenate(pauses)
    samples = samples + silence(len(samples) / RATE + 1, noise)[: len(samples)]
    pieces = split(samples, hear=spelling, overlaps=overlaps)
    found = spans(pieces)
    assert found == sorted(found)
    assert max(end - start for start, end in found) <= LIMITS.greatest_s + 0.01
    for (_, before), (after, _), piece in zip(found, found[1:], pieces[1:], strict=False):
        assert (after < before) == (piece.seam is not None)
    covered = np.zeros(len(samples), bool)
    for piece in pieces:
        covered[piece.start : piece.end] = True
    for start_s, end_s in talks:
        missing = ~covered[int(start_s * RATE) : int(end_s * RATE)]
        assert missing.sum() <= 0.06 * RATE, (start_s, end_s)
