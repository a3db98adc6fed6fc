"""Small words, and names that are spelt unlike they sound."""

import numpy as np
import pytest

from granite_mlx.biasing.choice import index_of
from granite_mlx.biasing.common_words import SAID, SMALL, said_otherwise
from granite_mlx.biasing.likeness import BY_SOUND, best_fit
from granite_mlx.biasing.sounds import sounds


@pytest.mark.parametrize(
    ("reading", "said"),
    [
        ("ask sean now", "ask shawn now"),
        ("Benoît et Renée", "benwa et renay"),
        ("nothing special", "nothing special"),
        ("oceans", "oceans"),
        ("", ""),
    ],
)
def test_names_as_they_sound(reading: str, said: str) -> None:
    assert said_otherwise(reading) == said


def test_the_table_sounds_otherwise_than_it_is_spelt() -> None:
    same = [name for name, said in SAID.items() if sounds(name) == sounds(said)]
    assert len(same) < len(SAID) / 4
    assert all(sounds(said) for said in SAID.values())


@pytest.mark.parametrize(
    ("term", "reading"),
    [("Shawn", "ask sean to come"), ("Geoff", "give it to jeff"), ("Neeve", "where is niamh")],
)
def test_such_a_name_is_found(term: str, reading: str) -> None:
    index = index_of((term, "Reykjavik", "Zanzibar"), ())
    assert [*index.ranked([reading])] == [0]


def test_what_is_like_a_small_word_comes_later() -> None:
    index = index_of(("Ihn", "Ahn"), ())
    assert [*index.ranked(["in ahn"])] == [1, 0]


def test_the_word_in_which_a_place_ends() -> None:
    fits = best_fit([sounds("Sarah"), sounds("In")], [sounds("in may sarah")], BY_SOUND)
    assert fits.last_words == ["sarah", "in"]
    assert np.array_equal(fits.is_in(SMALL), [False, True])
    assert best_fit([sounds("Ada")], ["_"], BY_SOUND).last_words == [""]
