"""All patterns at once, against a plain table of edit distances."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from granite_mlx.biasing.likeness import BY_LETTER, BY_SOUND, Costs, best_fit, fit
from granite_mlx.biasing.matching import BLOCK, WORD_BITS, Patterns
from granite_mlx.biasing.sounds import COARSE, SOUNDS

texts = st.text("_Apt", max_size=40)
patterns = st.lists(st.text("_Apt", min_size=1, max_size=WORD_BITS), min_size=1, max_size=5)


def cheapest(pattern: str, text: str, costs: Costs | None = None) -> float:
    """The fewest edits, or the smallest costs, that make a pattern of a part of a text."""

    def exchanged(a: str, b: str) -> float:
        return float(costs.exchanged[tuple(costs.numbers(a + b))]) if costs else float(a != b)

    def alone(a: str) -> float:
        return float(costs.alone[costs.numbers(a)[0]]) if costs else 1.0

    row = [0.0]
    for sign in pattern:
        row.append(row[-1] + alone(sign))
    best = row[-1]
    for heard in text:
        new = [0.0]
        for place, sign in enumerate(pattern):
            new.append(
                min(
                    row[place] + exchanged(sign, heard),
                    row[place + 1] + alone(heard),
                    new[place] + alone(sign),
                )
            )
        row, best = new, min(best, new[-1])
    return best


def distances(found: list[str], text: str) -> list[int]:
    return Patterns.of(found, COARSE).distances([COARSE.index(one) for one in text]).tolist()


@settings(deadline=None)
@given(patterns, texts)
def test_distances_are_those_of_the_table(found: list[str], text: str) -> None:
    assert distances(found, text) == [cheapest(pattern, text) for pattern in found]


@pytest.mark.parametrize("length", [1, 2, 63, 64])
def test_patterns_of_all_lengths(length: int) -> None:
    rng = np.random.default_rng(length)
    pattern = "".join(rng.choice(list(COARSE), length))
    text = "".join(rng.choice(list(COARSE), 90))
    assert distances([pattern], f"{text}{pattern}{text}") == [0]
    assert distances([pattern], text) == [cheapest(pattern, text)]


def test_a_longer_pattern_is_its_beginning() -> None:
    head = "Ap" * 32
    assert distances([head + "ttt"], head) == [0]


def test_more_patterns_than_a_block() -> None:
    found = distances(["At", "pp"] * BLOCK, "kkAtkk")
    assert found == [0, 2] * BLOCK


def test_nothing() -> None:
    assert distances([], "At") == []
    assert distances(["At", "p"], "") == [2, 1]


@settings(deadline=None)
@given(
    st.lists(st.text("_aeskzhm", min_size=1, max_size=9), min_size=1, max_size=5),
    st.text("_aeskzhm", min_size=1, max_size=20),
)
def test_costs_are_those_of_the_table(terms: list[str], heard: str) -> None:
    for costs in (BY_SOUND, BY_LETTER):
        wanted = [cheapest(term, heard, costs) for term in terms]
        np.testing.assert_allclose(fit(terms, heard, costs).costs, wanted, atol=1e-4)


def test_where_a_term_fits() -> None:
    found = best_fit(["_bet_", "_kat_", "_mos_"], ["_a_kat_", "_a_gat_mos_"], BY_SOUND)
    assert found.words.tolist()[1:] == [2, 3]
    np.testing.assert_allclose(found.costs[1:], [0, 0], atol=1e-6)


def test_the_table_of_sounds_is_one_of_distances() -> None:
    np.testing.assert_array_equal(BY_SOUND.exchanged, BY_SOUND.exchanged.T)
    assert not BY_SOUND.exchanged.diagonal().any()
    assert (BY_SOUND.exchanged + np.eye(len(SOUNDS)) > 0).all()
