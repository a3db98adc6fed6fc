"""Which words of a text have letters in what was heard."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from granite_mlx.ctc.witness import alignment, letters, unheard_runs, witness


def unheard(text: str, heard: str) -> list[str]:
    words = text.split()
    return [" ".join(words[n] for n in run) for run in unheard_runs(witness(text, heard))]


@pytest.mark.parametrize(
    ("text", "heard", "expected"),
    [
        ("hello world thank you for watching", "hello world", ["thank you for watching"]),
        ("Thank you for watching. Hello world", "hello world", ["Thank you for watching."]),
        ("I said hello there friend", "i said friend", ["hello there"]),
        ("the cat sat on the mat on Tuesday", "the cat sat the mat", ["on", "on Tuesday"]),
        ("please call Siobhan now", "please call now", ["Siobhan"]),
        ("three copies copies copies of it", "three copies of it", ["copies copies"]),
        ("anything at all", "", ["anything at all"]),
        ("well , you know - so", "well so", ["you know -"]),
    ],
)
def test_words_that_were_put_in(text: str, heard: str, expected: list[str]) -> None:
    assert unheard(text, heard) == expected


@pytest.mark.parametrize(
    ("text", "heard"),
    [
        ("Siobhan met Kubernetes", "shivon met cubernetties"),  # spelt as a list asked
        ("Ça coûte œuf !", "sa coute oeuf"),
        ("the answer is 42", "the answer is forty two"),  # a number beside its words
        ("the mat", "the cat sat on the mat"),  # what was left out says nothing
        ("", "abc"),
        ("...", ""),
    ],
)
def test_words_that_were_not(text: str, heard: str) -> None:
    assert [run for run in unheard(text, heard) if letters(run)] == []


def test_letters_are_what_is_spoken() -> None:
    assert letters("L'Œuvre, Élan - Ñu 5!") == "lœuvreelannu5"


def test_no_letter_is_heard_twice() -> None:
    (one, two) = witness("four four", "four")
    assert sorted([one.n_same, two.n_same]) == [0, 4]


WORDS = st.lists(st.sampled_from(["a", "cat", "sat", "mat", "watching", "é"]), max_size=12)


@given(WORDS, WORDS)
def test_the_alignment_goes_one_way(text: list[str], heard: list[str]) -> None:
    own, said = (np.array([ord(c) for c in "".join(one)], np.int32) for one in (text, heard))
    beside = alignment(own, said)
    assert len(beside) == len(own)
    places = [place for place in beside if place >= 0]
    assert places == sorted(set(places))
    assert all(place < len(said) for place in places)


@given(WORDS)
def test_what_was_heard_as_it_is_written_is_heard(text: list[str]) -> None:
    sentence = " ".join(text)
    assert unheard_runs(witness(sentence, sentence)) == []
    assert all(one.n_same == one.n_letters for one in witness(sentence, sentence))


@given(WORDS, st.integers(0, 12))
def test_foreign_words_are_found_wherever_they_are_put_in(text: list[str], at: int) -> None:
    invented = ["zxq", "kwvz"]
    at = min(at, len(text))
    testimonies = witness(" ".join(text[:at] + invented + text[at:]), " ".join(text))
    assert [not one.is_heard for one in testimonies] == [
        at <= n < at + 2 for n in range(len(text) + 2)
    ]
