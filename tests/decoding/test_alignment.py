import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from granite_mlx.decoding.alignment import (
    Follower,
    best_place,
    code_points,
    first_row,
    next_matches,
    next_row,
)


def distance(one: str, other: str) -> int:
    """Edit distance as it is written in a textbook."""
    table = {(i, 0): i for i in range(len(one) + 1)} | {(0, j): j for j in range(len(other) + 1)}
    for i, a in enumerate(one, start=1):
        for j, b in enumerate(other, start=1):
            table[i, j] = min(
                table[i - 1, j] + 1, table[i, j - 1] + 1, table[i - 1, j - 1] + (a != b)
            )
    return table[len(one), len(other)]


@given(st.text("abc ", max_size=9), st.text("abc ", max_size=9))
def test_a_row_holds_the_distances_to_every_beginning(emitted: str, draft: str) -> None:
    row = first_row(draft)
    for character in emitted:
        row = next_row(row, code_points(draft), character)
    assert row.tolist() == [distance(emitted, draft[:j]) for j in range(len(draft) + 1)]


def test_the_best_place() -> None:
    row = np.array([2, 1, 1, 3], dtype=np.int32)
    assert best_place(row, np.zeros_like(row)) == 2  # the last of the equal ones
    assert best_place(row, np.array([0, 1, 0, 0], dtype=np.int32)) == 1
    assert best_place(row, np.array([0, 0, 0, 6], dtype=np.int32)) == 3


@given(st.text("ab ", max_size=9), st.text("ab ", max_size=9))
def test_matches_are_common_ends(emitted: str, draft: str) -> None:
    matches = np.zeros(len(draft) + 1, dtype=np.int32)
    for character in emitted:
        matches = next_matches(matches, code_points(draft), character)
    for j, n in enumerate(matches.tolist()):
        assert emitted[len(emitted) - n :] == draft[j - n : j]
        assert n == min(j, len(emitted)) or emitted[-n - 1] != draft[j - n - 1]


DRAFT = "the cat sat on the mat"


@pytest.mark.parametrize(
    ("emitted", "rest"),
    [
        ("", DRAFT),
        ("the cat", " sat on the mat"),
        ("the bat", " sat on the mat"),  # another word
        ("the dog", " sat on the mat"),
        ("the big cat", " sat on the mat"),  # a word more
        ("the sat on", " the mat"),  # a word less
        ("The Cat, sat", " on the mat"),  # capitals and punctuation
        (" the cat", " sat on the mat"),  # the space of the first token
        ("the cat sat on the mat", ""),
        ("the cat sat on the mat and more", ""),
    ],
)
def test_what_is_left_of_a_draft(emitted: str, rest: str) -> None:
    assert Follower(DRAFT).rest(emitted) == rest


def test_following_is_the_same_in_steps_and_at_once() -> None:
    follower, emitted = Follower(DRAFT), "a cat that sits on"
    for n in range(len(emitted) + 1):
        rest = follower.rest(emitted[:n])
    assert rest == Follower(DRAFT).rest(emitted)


def test_a_text_that_changes_behind_its_back() -> None:
    follower = Follower(DRAFT)
    follower.rest("the cat sat on")
    assert follower.rest("the cat") == " sat on the mat"


def test_letters_whose_lower_case_is_longer() -> None:
    assert Follower("İstanbul and Ankara").rest("İstanbul") == " and Ankara"


def test_an_empty_draft() -> None:
    assert Follower("").rest("something") == ""
