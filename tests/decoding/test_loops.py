"""Answers that go round in circles, found while their tokens come."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from granite_mlx.decoding.loops import (
    LEAST_TOKENS,
    LONGEST_PERIOD,
    N_COPIES,
    Loop,
    LoopWatch,
    Said,
    tail_loop,
)

TEN = list(range(10))


def looping(ids: Sequence[int]) -> Loop | None:
    return tail_loop(ids, N_COPIES, LEAST_TOKENS, LONGEST_PERIOD)


@pytest.mark.parametrize(
    ("ids", "found"),
    [
        ([], None),
        ([7] * (LEAST_TOKENS - 1), None),
        ([7] * LEAST_TOKENS, Loop(0, 1, LEAST_TOKENS)),
        ([1, 2, 3] + [4, 5] * 12, Loop(3, 2, 12)),
        ([1, 2, 3] + [4, 5] * 11, None),
        (TEN * (N_COPIES - 1), None),
        (TEN * N_COPIES, Loop(0, 10, N_COPIES)),
        ([77, *TEN * N_COPIES, 0, 1, 2], Loop(1, 10, N_COPIES)),
        ([*TEN * N_COPIES, 99], None),
        (list(range(LONGEST_PERIOD + 1)) * 8, None),
    ],
)
def test_what_the_end_repeats(ids: list[int], found: Loop | None) -> None:
    assert looping(ids) == found


@given(
    st.lists(st.integers(0, 3), max_size=30),
    st.lists(st.integers(0, 3), min_size=1, max_size=20),
    st.integers(N_COPIES, 30),
)
def test_any_repetition_is_found(before: list[int], phrase: list[int], n_copies: int) -> None:
    ids = before + phrase * n_copies
    loop = looping(ids)
    if len(phrase) * n_copies < LEAST_TOKENS:
        return
    assert loop is not None
    assert loop.period <= len(phrase)
    assert loop.start + loop.period * loop.n_copies <= len(ids)
    assert (
        list(loop.phrase(ids)) * loop.n_copies == ids[loop.start :][: loop.period * loop.n_copies]
    )


@given(st.lists(st.integers(0, 1000), unique=True, max_size=200))
def test_what_never_repeats_is_no_loop(ids: list[int]) -> None:
    assert looping(ids) is None


def watched(ids: Sequence[int], said: Said) -> tuple[LoopWatch, int]:
    """A watch that saw the tokens come, and how many until it found a loop."""
    watch = LoopWatch(said)
    for n in range(1, len(ids) + 1):
        watch.grown(ids[:n])
        if watch.n_kept is not None:
            return watch, n
    return watch, len(ids)


@pytest.mark.parametrize("phrase", [[7], [7, 8], TEN, list(range(LONGEST_PERIOD))])
@pytest.mark.parametrize("before", [[], [50, 51, 52], list(range(100, 180))])
@pytest.mark.parametrize("said", [None, 0, 1, 2])
def test_a_loop_is_found_soon_and_one_copy_stays(
    phrase: list[int], before: list[int], said: int | None
) -> None:
    watch, n = watched(before + phrase * 100, lambda ids: said)
    assert watch.n_kept == len(before) + len(phrase) * max(1, said or 0)
    most = max(LEAST_TOKENS, N_COPIES * len(phrase), (2 * (said or 0) + 3) * len(phrase))
    assert n - len(before) <= most


@given(st.integers(1, 80), st.integers(1, 4))
def test_what_was_said_so_often_is_no_loop(n_copies: int, period: int) -> None:
    ids = list(range(period)) * n_copies
    for heard in (n_copies, -(-n_copies // 2)):  # all of it, or every second copy
        watch, _ = watched(ids, lambda _, heard=heard: heard)  # type: ignore[misc]
        assert watch.n_kept is None
        watch.ran_out(ids)
        assert watch.n_kept is None


def test_a_phrase_that_was_said_is_asked_about_now_and_then() -> None:
    n_asked = 0

    def said(ids: Sequence[int]) -> int:
        nonlocal n_asked
        n_asked += 1
        return 30

    watch, n = watched([1, 2] * 500, said)
    assert watch.n_kept == 60
    assert n <= 2 * (2 * 30 + 3)
    assert n_asked <= 3


def test_a_loop_that_is_too_long_to_be_seen_as_it_comes() -> None:
    phrase = list(range(LONGEST_PERIOD + 6))
    ids = [900, 901, *phrase * 3, 0, 1]
    watch, _ = watched(ids, lambda _: 1)
    assert watch.n_kept is None
    watch.ran_out(ids)
    assert watch.n_kept == 2 + len(phrase)


def test_a_budget_that_ends_with_a_few_copies() -> None:
    watch = LoopWatch(lambda _: 1)
    watch.ran_out([9, *[1, 2, 3, 4] * 3])
    assert watch.n_kept == 5
    for ids in ([9, *[1, 2, 3, 4] * 2], [1, 2, 3] * 3, TEN):  # nothing that a budget might not cut
        watch = LoopWatch(lambda _: 0)
        watch.ran_out(ids)
        assert watch.n_kept is None
