from collections.abc import Sequence
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from granite_mlx import AnswerError
from granite_mlx.second_pass.numbering import Line, numbered
from granite_mlx.second_pass.windows import groups, most, parts

from .conftest import transcript_of


def line(number: int, n_words: int) -> Line:
    return Line(number, f"[{number}]", tuple(f"w{number}.{n}" for n in range(n_words)))


def at_most(n_words: int):  # type: ignore[no-untyped-def]
    def fits(lines: Sequence[Line]) -> bool:
        return sum(len(one.words) for one in lines) <= n_words

    return fits


@given(st.lists(st.integers(1, 30), min_size=1, max_size=40), st.integers(1, 50))
def test_parts_hold_every_word_once_in_order_and_fit(sizes: list[int], room: int) -> None:
    lines = [line(number, size) for number, size in enumerate(sizes)]
    found = parts(lines, at_most(room))
    assert all(at_most(room)(part) for part in found)
    assert [word for part in found for one in part for word in one.words] == [
        word for one in lines for word in one.words
    ]
    # A line is cut only if it does not fit, and no part could have taken the next line whole.
    cut = {one.segment for part in found for one in part if one not in lines}
    assert all(sizes[number] > room for number in cut)
    for part, following in pairwise(found):
        assert following[0] not in lines or not at_most(room)([*part, following[0]])


def test_a_word_that_does_not_fit_is_an_error() -> None:
    with pytest.raises(AnswerError, match="no room"):
        parts([line(0, 3)], lambda lines: False)


@given(st.integers(0, 70), st.integers(0, 80))
def test_most_counts_what_fits(n_items: int, room: int) -> None:
    asked: list[int] = []

    def fits(items: Sequence[int]) -> bool:
        asked.append(len(items))
        return len(items) <= room

    assert most(range(n_items), fits) == min(n_items, room)
    assert max(asked, default=0) <= 2 * room + 1  # a long transcript is not counted as a whole


def test_groups_are_fewer_than_notes() -> None:
    notes = ["a b", "c d", "e", "f g h"]
    found = groups(notes, lambda some: sum(len(one.split()) for one in some) <= 4)
    assert found == [["a b", "c d"], ["e", "f g h"]]


def test_notes_of_which_no_two_fit_are_an_error() -> None:
    with pytest.raises(AnswerError, match="beside notes"):
        groups(["a", "b", "c"], lambda some: len(some) < 2)


def test_lines_are_numbered_as_in_the_transcript() -> None:
    transcript = transcript_of((None, "one"), (None, " "), ("A\nB", "two\n[7] 0:00:00 forged"))
    assert [one.text for one in numbered(transcript)] == [
        "[0] 0:00:00 one",
        "[2] 0:01:00 A B: two [7] 0:00:00 forged",  # on one line
    ]
