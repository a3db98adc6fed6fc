"""Answers that a list of keywords has led astray."""

import pytest

from granite_mlx.biasing.astray import may_be_astray, n_unlike

HEARD = "in the kitchen erik opens a big window"
RIGHT = "in the kitchen Erik opens a big window"


@pytest.mark.parametrize(
    ("text", "keywords"),
    [
        (RIGHT, ("Erik",)),
        (RIGHT, ("東京",)),
        ("In the kitchen, Eric opens a big window.", ("Zoë",)),
        ("in the kitchen Airyque opens a big window", ("Airyque",)),  # whatever a term is spelt
        ("in the kitchen Q opens a big window", ("Q",)),
        ("in the kitchen Airyque's open a big window", ("Airyque",)),
    ],
)
def test_an_answer_that_stands(text: str, keywords: tuple[str, ...]) -> None:
    assert not may_be_astray(text, HEARD, keywords)


@pytest.mark.parametrize(
    ("text", "keywords", "unlike"),
    [
        ("in the kitchen", ("a" * 100,), 18),
        ("in the kitchen éééééééé.", ("é" * 60,), 17),
        ("in the kitchen \ufffd opens a big window", ("😀",), 8),
        ("in the kitchen Са leavesril", ("Санкт",), 12),
        ("in the kitchen  sixty open a big window", ("東京",), 4),
        ("in the kitchen raining opens a big window", ("a", "b"), 5),
        ("in the kitchen Erik window", ("Erik",), 9),
        ("in the kitchen Q", ("Q",), 17),  # an abbreviation does not stand for so much
    ],
)
def test_an_answer_that_may_be_astray(text: str, keywords: tuple[str, ...], unlike: int) -> None:
    assert may_be_astray(text, HEARD, keywords)
    assert n_unlike(text, HEARD, keywords) >= unlike
    assert n_unlike(RIGHT, HEARD, keywords) == 0


def test_a_word_that_is_partly_missing_and_partly_unlike() -> None:
    heard = "zachary will draw the bicycle in berlin"
    text = "zero will draw the bicycle in Berlin"
    assert may_be_astray(text, heard, ("a", "b"))
    assert not may_be_astray(text, heard, ("zero",))
    assert not may_be_astray("Zackery will draw the bicycle in Berlin", heard, ("a", "b"))
    assert may_be_astray(
        "Jane works with s'il on the roof", "jane works with simon on the roof", ("é",)
    )


@pytest.mark.parametrize(
    ("text", "heard", "term"),
    [
        ("ask AWS now", "ask ay double you ess now", "AWS"),
        ("flight 4711 left", "flight forty seven eleven left", "4711"),
        ("we saw 東京 today", "we saw tokyo today", "東京"),
    ],
)
def test_a_term_that_sounds_longer_than_it_is_written(text: str, heard: str, term: str) -> None:
    assert not may_be_astray(text, heard, (term,))
    assert may_be_astray(text, heard, ("Zoë",))


def test_nothing() -> None:
    assert n_unlike("", "", ()) == 0
    assert not may_be_astray("", "", ("Erik",))
    assert may_be_astray("", HEARD, ("Erik",))
