import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from granite_mlx.evaluate.error_rates import (
    ErrorRate,
    character_errors,
    edit_distance,
    word_errors,
    words,
)

texts = st.text("abc", max_size=7)


@pytest.mark.parametrize(
    ("wanted", "got", "distance"),
    [
        ("kitten", "sitting", 3),
        ("intention", "execution", 5),
        ("", "abc", 3),
        ("abc", "", 3),
        ("", "", 0),
        ("flaw", "lawn", 2),
    ],
)
def test_distances_from_the_literature(wanted: str, got: str, distance: int) -> None:
    assert edit_distance(wanted, got) == distance


@settings(deadline=None)
@given(texts, texts)
def test_distance_is_that_of_its_definition(wanted: str, got: str) -> None:
    assert edit_distance(wanted, got) == _by_definition(wanted, got)


def _by_definition(wanted: str, got: str) -> int:
    """Levenshtein's recursion, as it is written down everywhere."""
    table = {(i, 0): i for i in range(len(wanted) + 1)}
    table |= {(0, j): j for j in range(len(got) + 1)}
    for i, a in enumerate(wanted, start=1):
        for j, b in enumerate(got, start=1):
            table[i, j] = min(
                table[i - 1, j] + 1, table[i, j - 1] + 1, table[i - 1, j - 1] + (a != b)
            )
    return table[len(wanted), len(got)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("C'est  l’ÉTÉ !", ["c'est", "l'été"]),
        ("twenty-nine, e.g. 3.5", ["twenty", "nine", "e", "g", "3", "5"]),
        ("'quoted' snake_case", ["quoted", "snake", "case"]),
        ("Straße", ["strasse"]),
        ("cafe\N{COMBINING ACUTE ACCENT}", ["café"]),
        ("東京タワーへ、GO!", ["東", "京", "タ", "ワ", "ー", "へ", "go"]),
        (" ?! ", []),
    ],
)
def test_words(text: str, expected: list[str]) -> None:
    assert words(text) == expected


@pytest.mark.parametrize(
    ("wanted", "got", "errors"),
    [
        ("The cat sat.", "the CAT sat", ErrorRate(0, 3)),
        ("the cat sat", "a cat sat down", ErrorRate(2, 3)),
        ("the cat sat", "", ErrorRate(3, 3)),
        ("", "you", ErrorRate(1, 0)),
        ("今日は", "今日わ", ErrorRate(1, 3)),
    ],
)
def test_word_errors(wanted: str, got: str, errors: ErrorRate) -> None:
    assert word_errors(wanted, got) == errors


def test_characters_count_without_spaces() -> None:
    assert character_errors("to day", "today!") == ErrorRate(0, 5)
    assert character_errors("cat", "cut") == ErrorRate(1, 3)


def test_rates_add_up() -> None:
    total = ErrorRate(1, 4) + ErrorRate(2, 6)
    assert total == ErrorRate(3, 10)
    assert total.percent == pytest.approx(30)
    assert math.isnan(ErrorRate().percent)
