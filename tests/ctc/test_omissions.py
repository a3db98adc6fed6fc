"""What the head has heard and a text leaves out."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from granite_mlx.ctc.omissions import omissions

WORDS = ("alpha", "bruno", "cinema", "domino", "elegy", "fjord")


def missing(text: str, heard: str) -> list[tuple[str, int]]:
    return [(" ".join(one.words), one.n_before) for one in omissions(text, heard)]


@pytest.mark.parametrize(
    ("text", "heard", "expected"),
    [
        ("", "", []),
        ("Hello, world.", "hello world", []),
        ("", "hello world", [("hello world", 0)]),
        ("à la gare", "à la gare le mois prochain", [("le mois prochain", 3)]),
        ("the museum.", "tonight in geneva the museum", [("tonight in geneva", 0)]),
        ("- the red - sun", "the red and green sun", [("and green", 4)]),
        ("the mat", "the cat sat on the mat", [("the cat sat on", 0)]),
        ("one two four", "one two one two four", [("one two", 0)]),
        ("one three four six", "one two three four five six", [("two", 1), ("five", 3)]),
        ("call Kathryn now", "call catherine now", []),
        ("call Kathryn", "call catherine right now", [("right now", 2)]),
    ],
)
def test_missing_words(text: str, heard: str, expected: Any) -> None:
    assert missing(text, heard) == expected


@settings(deadline=None)
@given(st.permutations(WORDS), st.integers(0, 5), st.integers(1, 6))
def test_a_part_of_a_text(words: list[str], first: int, length: int) -> None:
    left_out = words[first : first + length]
    text = " ".join(words[:first] + words[first + length :])
    assert missing(text, " ".join(words)) == [(" ".join(left_out), first)]
