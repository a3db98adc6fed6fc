"""Forced alignment on posteriors made by hand, and what holds for all of them."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from granite_mlx.ctc.alignment import (
    LEAST_LOG_PROBABILITY,
    AlignedWord,
    align,
    best_path,
    gap_log_probs,
    log_softmax,
)
from granite_mlx.ctc.greedy import BLANK
from granite_mlx.ctc.spelling import spell

N_CLASSES = 348


def heard(frames: str) -> np.ndarray:
    """Log-probabilities of a head that is sure of a character in each frame; _ is a blank."""
    logits = np.zeros((len(frames), N_CLASSES), np.float32)
    for frame, character in enumerate(frames):
        logits[frame, BLANK if character == "_" else ord(character)] = 12.0
    return log_softmax(logits)


def placed(text: str, frames: str) -> list[tuple[str, int, int]]:
    words = spell(text)
    assert words is not None
    aligned = align(words, heard(frames))
    assert aligned is not None
    return [(word.text, word.start, word.end) for word in aligned]


@pytest.mark.parametrize(
    ("text", "frames", "spans"),
    [
        ("hi", "__h_i_", [("hi", 2, 5)]),
        ("hi", "hi", [("hi", 0, 2)]),
        ("hi", "hhhiii", [("hi", 0, 6)]),
        ("aa", "_a__a_", [("aa", 1, 5)]),  # equal letters with a blank between
        ("aab", "a_a_b_", [("aab", 0, 5)]),
        ("a b", "_a_ _b_", [("a", 1, 2), ("b", 5, 6)]),
        ("a a", "aa aa", [("a", 0, 2), ("a", 3, 5)]),  # the space is between equal letters
        ("Hi You", "_hi  you", [("Hi", 1, 3), ("You", 5, 8)]),
        ("hi you", "_HI_YOU_", [("hi", 1, 3), ("you", 4, 7)]),  # without a space, in capitals
        ("l'été,", "__l'été,__", [("l'été,", 2, 7)]),  # whether the head writes the signs
        ("l'été,", "__l_été___", [("l'été,", 2, 7)]),  # or not
        ("œuf", "_o_euf", [("œuf", 1, 6)]),
    ],
)
def test_known_answers(text: str, frames: str, spans: list[tuple[str, int, int]]) -> None:
    assert placed(text, frames) == spans


def test_what_is_by_ear_takes_all_that_is_heard_between_its_neighbours() -> None:
    spans = placed("home 20 is", "_ho_me_ _twe_n_ty__ ___is_")
    assert spans == [("home", 1, 6), ("20", 9, 17), ("is", 23, 25)]


def test_a_word_that_is_not_said_takes_no_other_words_place() -> None:
    aligned = placed("a b xyz c d", "_a_b_____c_d_")
    spans = {text: (start, end) for text, start, end in aligned}
    assert [spans[word] for word in "abcd"] == [(1, 2), (3, 4), (9, 10), (11, 12)]
    start, end = spans["xyz"]
    assert 4 <= start < end <= 9


def test_a_misheard_letter_does_not_move_the_others() -> None:
    assert placed("katy came", "_c_aty_ ___c_ame_") == [("katy", 1, 6), ("came", 11, 16)]


def test_log_probs_are_those_of_the_letters() -> None:
    words = spell("ab x")
    assert words is not None
    aligned = align(words, heard("_a_b_____"))
    assert aligned is not None
    assert aligned[0].log_probs == pytest.approx([0, 0], abs=0.01)
    assert aligned[1].log_probs == pytest.approx([LEAST_LOG_PROBABILITY])


def test_a_word_by_ear_has_no_log_probs() -> None:
    words = spell("a 2")
    assert words is not None
    aligned = align(words, heard("_a_two_"))
    assert aligned is not None
    assert aligned[1].log_probs is None


@pytest.mark.parametrize(("text", "n_frames"), [("abc", 2), ("aa", 2), ("a a", 2), ("ab", 1)])
def test_too_few_frames_for_the_letters(text: str, n_frames: int) -> None:
    words = spell(text)
    assert words is not None
    assert align(words, heard("_" * n_frames)) is None
    assert align(words, heard("_" * (n_frames + 1))) is not None


def test_katakana_and_letters_are_no_gaps() -> None:
    logits = np.full((3, N_CLASSES), -20.0, np.float32)
    logits[0, ord(",")] = logits[1, 300] = logits[2, ord("b")] = 20.0
    gaps = np.exp(gap_log_probs(log_softmax(logits)))
    assert gaps[0] == pytest.approx(1)
    assert gaps[1:] == pytest.approx([0, 0], abs=0.001)


def all_paths_best(table: np.ndarray, states: np.ndarray) -> float:
    """The score of the best path, by trying them all."""
    n, best = len(states), -np.inf
    for steps in product((0, 1, 2), repeat=len(table) - 1):
        for first in range(min(2, n)):
            path = first + np.concatenate([[0], np.cumsum(steps)])
            allowed = path[-1] in (n - 1, n - 2) and all(
                step < 2 or (b % 2 == 1 and states[a] != states[b])
                for step, a, b in zip(steps, path, path[1:], strict=False)
            )
            if allowed:
                best = max(best, table[np.arange(len(table)), states[path]].sum())
    return float(best)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(1, 3), min_size=1, max_size=3), st.integers(5, 7), st.integers(0, 99))
def test_no_path_is_better(letters: list[int], n_frames: int, seed: int) -> None:
    table = np.random.default_rng(seed).normal(size=(n_frames, 4)).astype(np.float32)
    states = np.zeros(2 * len(letters) + 1, np.intp)
    states[1::2] = letters
    path = best_path(table, states)
    found = table[np.arange(n_frames), states[path]].sum()
    assert found == pytest.approx(all_paths_best(table, states), abs=1e-4)


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 130), st.integers(0, 99))
def test_backpointers_made_anew_lead_the_same_way(stretch: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    table = rng.normal(size=(120, 5)).astype(np.float32)
    states = np.zeros(2 * 25 + 1, np.intp)
    states[1::2] = rng.integers(1, 5, 25)
    assert (best_path(table, states, stretch) == best_path(table, states)).all()


@settings(max_examples=100, deadline=None)
@given(st.text("abé 2?-", min_size=1, max_size=30), st.integers(1, 80), st.integers(0, 99))
def test_words_are_in_order_and_apart(text: str, n_frames: int, seed: int) -> None:
    words = spell(text)
    if words is None:
        return
    logits = np.random.default_rng(seed).normal(scale=4, size=(n_frames, N_CLASSES))
    aligned = align(words, log_softmax(logits))
    if aligned is None:
        n_letters = sum(len(word.letters) or 1 for word in words)
        assert n_frames < 2 * n_letters
        return
    assert [word.text for word in aligned] == [word.text for word in words]
    assert_in_order(aligned, n_frames)


def assert_in_order(aligned: tuple[AlignedWord, ...], n_frames: int) -> None:
    frames = np.concatenate([word.frames for word in aligned])
    assert frames[0, 0] >= 0
    assert frames[-1, 1] <= n_frames
    assert (frames[:, 0] < frames[:, 1]).all()
    assert (frames[:-1, 1] <= frames[1:, 0]).all()
