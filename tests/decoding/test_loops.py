"""Answers that go round in circles."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from granite_mlx.decoding.loops import LEAST_TOKENS, LONGEST_PERIOD, N_COPIES, loop_start


@pytest.mark.parametrize(
    ("ids", "start"),
    [
        ([], None),
        ([7] * (LEAST_TOKENS - 1), None),
        ([7] * LEAST_TOKENS, 1),
        ([1, 2, 3] + [4, 5] * 12, 5),
        ([1, 2, 3] + [4, 5] * 11, None),
        (list(range(10)) * (N_COPIES - 1), None),
        (list(range(10)) * N_COPIES, 10),
        ([77, *list(range(10)) * N_COPIES, 0, 1, 2], 11),
        ([*list(range(10)) * N_COPIES, 99], None),
        (list(range(LONGEST_PERIOD + 1)) * 8, None),
    ],
)
def test_where_it_begins(ids: list[int], start: int | None) -> None:
    assert loop_start(ids) == start


@given(
    st.lists(st.integers(0, 3), max_size=30),
    st.lists(st.integers(0, 3), min_size=1, max_size=20),
    st.integers(N_COPIES, 9),
)
def test_any_loop_is_found_and_what_remains_has_one_copy(
    before: list[int], repeated: list[int], n_copies: int
) -> None:
    ids = before + repeated * n_copies
    start = loop_start(ids)
    if len(repeated) * n_copies < LEAST_TOKENS:
        return
    assert start is not None
    assert start <= len(before) + len(repeated)
    assert loop_start(ids[:start]) is None or len(ids[:start]) < len(ids)


@given(st.lists(st.integers(0, 1000), unique=True, max_size=200))
def test_what_never_repeats_is_no_loop(ids: list[int]) -> None:
    assert loop_start(ids) is None
