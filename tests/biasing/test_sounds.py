"""Which spellings sound alike."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from granite_mlx.biasing.sounds import COARSE, LETTERS, SOUNDS, coarse, letters, sounds


@pytest.mark.parametrize(
    "same",
    [
        ("Philip", "Filip", "PHILLIP"),
        ("Jack", "Jak"),
        ("Frédéric", "Frederick", "Frederik"),
        ("Monique", "Monik"),
        ("Jane", "Jan"),
        ("Christine", "Kristin"),
        ("Max", "Maxx", "Macks"),
        ("Peggy", "Peggie"),
        ("Cyril", "Syril"),
        ("Müller", "Mueller"),
        ("Größe", "Groesse"),
        ("façade", "fassade"),
        ("São Paulo", "Sao Paulo", "Sao-Paulo", "sao  paulo"),
        ("l'été", "L’ÉTÉ"),
        ("Anne", "Ann"),
    ],
)
def test_spellings_that_sound_alike(same: tuple[str, ...]) -> None:
    assert len({sounds(one) for one in same}) == 1
    assert sounds(same[0]).strip("_")


@pytest.mark.parametrize("pair", [("Ann", "Anna"), ("cafe", "café"), ("Kim", "Tim"), ("ab", "a b")])
def test_spellings_that_do_not(pair: tuple[str, str]) -> None:
    assert sounds(pair[0]) != sounds(pair[1])


@pytest.mark.parametrize("text", ["", "東京", "42", " - ", "Ω", "🙂"])
def test_what_has_no_sound(text: str) -> None:
    assert sounds(text) == ""


def test_examples() -> None:
    assert sounds("Kathryn") == "_katrin_"
    assert sounds("C++ and 5G") == "_k_and_g_"
    assert coarse("_katrin_") == "_kAtrAn_"
    assert coarse(sounds("Hannah")) == "_AnA_"
    assert letters("Zoë M. Weiß") == "_zoe_m_weiss_"


@given(st.text())
def test_nothing_but_the_alphabets(text: str) -> None:
    spelt = sounds(text)
    assert set(spelt) <= set(SOUNDS)
    assert set(coarse(spelt)) <= set(COARSE)
    assert set(letters(text)) <= set(LETTERS)
    assert "__" not in spelt
    assert spelt == "" or spelt[0] == spelt[-1] == "_"
