"""Where words begin and end."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from granite_mlx.ctc.alignment import AlignedWord
from granite_mlx.ctc.borders import LEVEL_S, RULE, levels_db, word_spans

RATE = 16000
LEAD_S = RULE.lead_s


def word(first: int, end: int) -> AlignedWord:
    """A word of one letter."""
    return AlignedWord("a", np.array([[first, end]]), np.zeros(1))


def loudness(*parts: tuple[float, float]) -> np.ndarray:
    """(seconds, dB) one behind the other."""
    return np.concatenate([np.full(round(s / LEVEL_S), db) for s, db in parts])


def test_a_word_ends_where_the_next_one_begins() -> None:
    spans = word_spans([word(0, 1), word(20, 21)], loudness((1.0, -20)), 1.0)
    assert spans == [(0, pytest.approx(0.4 - LEAD_S)), (pytest.approx(0.4 - LEAD_S), 1.0)]


def test_a_word_ends_where_it_becomes_quiet() -> None:
    levels = loudness((0.3, -20), (0.5, -70), (0.2, -20))
    first, second = word_spans([word(0, 5), word(40, 45)], levels, 1.0)
    assert first == (0, pytest.approx(0.3))
    assert second == (pytest.approx(0.8 - LEAD_S), 1.0)


def test_a_pause_may_be_noisy() -> None:
    noise = np.random.default_rng(0).normal(scale=1, size=50) - 40
    levels = np.concatenate([loudness((0.3, -20)), noise, loudness((0.2, -20))])
    (_, end_s), _ = word_spans([word(0, 5), word(40, 45)], levels, 1.0)
    assert end_s == pytest.approx(0.3, abs=0.03)


def test_the_closure_of_a_plosive_is_no_pause() -> None:
    levels = loudness((0.3, -20), (0.07, -70), (0.63, -20))
    (_, end_s), _ = word_spans([word(0, 5), word(25, 30)], levels, 1.0)
    assert end_s == pytest.approx(0.5 - LEAD_S)


def test_the_last_word_ends_before_the_silence_behind_it() -> None:
    assert word_spans([word(10, 20)], loudness((0.5, -20), (2.0, -80)), 2.5) == [
        (pytest.approx(0.2 - LEAD_S), pytest.approx(0.5))
    ]


def test_a_word_does_not_last_as_long_as_loud_music_behind_it() -> None:
    ((_, end_s),) = word_spans([word(10, 11)], loudness((4.0, -20)), 4.0)
    assert end_s == pytest.approx(0.22 + RULE.tail_s)


def test_levels_are_decibels_of_ten_milliseconds() -> None:
    samples = np.concatenate([np.full(1600, 0.1), np.zeros(1605)])
    levels = levels_db(samples, RATE)
    assert len(levels) == 21
    assert levels[:9] == pytest.approx(np.full(9, -20.0))
    assert levels[12:] == pytest.approx(np.full(9, -100.0))


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.tuples(st.integers(1, 8), st.integers(0, 40)), min_size=1, max_size=12),
    st.floats(-0.01, 0.019),
    st.integers(0, 99),
)
def test_spans_are_in_order_and_within_the_recording(
    widths_and_gaps: list[tuple[int, int]], beyond_s: float, seed: int
) -> None:
    words, frame = [], 0
    for width, gap in widths_and_gaps:
        words.append(word(frame, frame + width))
        frame += width + gap
    # The encoder's last frame may end up to 10 ms behind the recording, or 20 ms before.
    duration_s = frame * 0.02 + beyond_s
    samples = np.random.default_rng(seed).normal(size=round(duration_s * RATE))
    samples *= (
        np.random.default_rng(seed).random(len(samples) // 800 + 1).repeat(800)[: len(samples)]
    )
    spans = word_spans(words, levels_db(samples, RATE), duration_s)
    assert len(spans) == len(words)
    times = np.array(spans).ravel()
    assert times[0] >= 0
    assert times[-1] <= duration_s
    assert (np.diff(times) >= 0).all()
    assert (times[1::2] > times[::2]).all()
