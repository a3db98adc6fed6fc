"""Text in the letters of the character head."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from granite_mlx.ctc.spelling import Spelled, classes_of, fold, gap_classes, spell


@pytest.mark.parametrize(
    ("word", "letters"),
    [
        ("Hello,", "hello"),
        ("ÉTÉ", "été"),
        ("e\u0301te\u0301", "été"),  # decomposed, as macOS writes file names
        ("l’été", "lété"),
        ("o'clock", "oclock"),
        ("quarante-huit", "quarantehuit"),
        ("“Hi”", "hi"),
        ("Œuvre", "oeuvre"),
        ("Æsir", "æsir"),  # Latin-1 has it
        ("ﬁn", "fin"),
        ("Dvořák", "dvorák"),
        ("Łódź", "lódz"),
        ("İzmir", "izmir"),
        ("Straße", "straße"),
        ("STRAẞE", "straße"),
        ("™", "tm"),
    ],
)
def test_folding(word: str, letters: str) -> None:
    assert fold(word) == letters


@pytest.mark.parametrize("word", "20 3rd 5% AT&T C++ € ½ x² Ω ヴァ 東京 ２ a@b.com".split())
def test_what_is_by_ear(word: str) -> None:
    assert fold(word) == ""


@pytest.mark.parametrize("word", "? — « ... ´ ! '".split())
def test_what_has_nothing_to_hear(word: str) -> None:
    assert fold(word) is None


def test_signs_that_stand_alone_belong_to_the_word_before_and_first_ones_to_the_next() -> None:
    words = spell("« Quoi ? » dit-il — non .")
    assert words == (Spelled("« Quoi ? »", "quoi"), Spelled("dit-il —", "ditil"),
                     Spelled("non .", "non"))  # fmt: skip


@pytest.mark.parametrize("text", ["", " ", "?", "東京 です", "20 30 forty", "Ω Ψ x"])
def test_texts_without_enough_letters_are_not_spelled(text: str) -> None:
    assert spell(text) is None


def test_half_of_the_words_are_enough() -> None:
    assert spell("room 20") == (Spelled("room", "room"), Spelled("20", ""))


def test_a_head_with_few_classes_spells_only_those() -> None:
    assert fold("ab", n_classes=98) == ""
    assert fold("a", n_classes=98) == "a"


@given(st.text())
def test_no_text_is_lost_and_all_letters_have_classes(text: str) -> None:
    words = spell(text)
    if words is not None:
        assert " ".join(word.text for word in words) == " ".join(text.split())
        gaps = set(gap_classes(348))
        for word in words:
            for letter in word.letters:
                assert classes_of(letter)
                assert not gaps & set(classes_of(letter))


def test_classes_of_a_letter_are_its_cases_in_latin_1() -> None:
    assert classes_of("a") == (65, 97)
    assert classes_of("é") == (0xC9, 0xE9)
    assert classes_of("ÿ") == (0xFF,)
    assert classes_of("ß") == (0xDF,)
