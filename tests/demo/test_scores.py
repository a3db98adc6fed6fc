"""Word errors and tallies of the demo's evaluation."""

import importlib
from types import ModuleType

import pytest
from hypothesis import given
from hypothesis import strategies as st

WORDS = st.lists(st.sampled_from("abc"), max_size=6).map(" ".join)


@pytest.fixture(scope="module")
def scores(demo_recipe: ModuleType) -> ModuleType:
    return importlib.import_module("demo.scores")


@pytest.mark.parametrize(
    ("wanted", "got", "errors"),
    [
        ("one two three", "one two three", 0),
        ("one two three", "one three", 1),
        ("one two three", "one two two three", 1),
        ("one two three", "one ten three", 1),
        ("one two three", "two three four", 2),
        ("one two", "", 2),
        ("", "one two", 2),
    ],
)
def test_word_errors(scores: ModuleType, wanted: str, got: str, errors: int) -> None:
    assert scores.word_errors(wanted, got) == errors


@given(a=WORDS, b=WORDS, c=WORDS)
def test_word_errors_are_a_distance(demo_recipe: ModuleType, a: str, b: str, c: str) -> None:
    distance = importlib.import_module("demo.scores").word_errors
    assert (distance(a, b) == 0) == (a == b)
    assert distance(a, b) == distance(b, a)
    assert distance(a, c) <= distance(a, b) + distance(b, c)


def test_words_ignore_case_and_texts_do_not(scores: ModuleType) -> None:
    counted = scores.Scores()
    for got in ("call Eric", "call eric", "all"):
        counted.words("x", "call Eric", got)
        counted.text("x", "recording 1", "call Eric", got)
    assert counted.tallies["x.words_wrong"] == scores.Tally(2, 6)
    assert counted.tallies["x.texts_right"] == scores.Tally(1, 3)
    assert [mistake.got for mistake in counted.mistakes] == ["call eric", "all"]


def test_spellings_are_whole_words(scores: ModuleType) -> None:
    counted = scores.Scores()
    counted.spellings("names", ["Ann", "Erik"], "Hello Anne, I am Erik.")
    assert counted.tallies["names_right"] == scores.Tally(1, 2)
    assert counted.tallies["names_right"].percent == 50
