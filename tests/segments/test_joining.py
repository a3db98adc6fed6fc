from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from granite_mlx.segments.joining import Seam, join

NUMBERS = "zero one two three four five six seven eight nine ten eleven twelve thirty forty".split()


def joined(left: str, right: str, before: str, after: str) -> str:
    n_left, n_skipped = join(left, right, Seam(before, after, 0, 0))
    return " ".join([*left.split()[:n_left], "|", *right.split()[n_skipped:]])


@pytest.mark.parametrize(
    ("left", "right", "before", "after", "wanted"),
    [
        (
            "one two three four five",
            "hree four five six seven",
            " ree four",
            " five six",
            "one two three four | five six seven",
        ),
        (
            "one two three four five sevn",
            "our five six seven eight nine",
            "four five",
            "six seven",
            "one two three four five | six seven eight nine",
        ),
        # The same word twice.
        (
            "seven eight eight ni",
            "ght eight nine ten",
            "eight",
            "eight ni",
            "seven eight | eight nine ten",
        ),
        (
            "seven eight eight ni",
            "ght eight nine ten",
            "eight eight",
            "ni",
            "seven eight eight | nine ten",
        ),
        # One of them ends early, or says nothing.
        ("one two", "three four five six", "three", "four", "one two | three four five six"),
        ("", "three four five six", "three", "four", "| three four five six"),
        ("three four five", "", "four", "five", "three four five |"),
        ("", "", "four", "five", "|"),
        # They do not share a word.
        ("one two three", "four five six", "three", "four", "one two three | four five six"),
        # Other signs than the head's, and a word that the two hear differently.
        (
            "Hello, I am Siobhan and you are",
            "n and you are Kubernetes.",
            "shivon and",
            "you ar",
            "Hello, I am Siobhan and | you are Kubernetes.",
        ),
        (
            "à la maison l'été il fait",
            "maison l'ete il fait froid",
            "maison l'été",
            "il fait",
            "à la maison l'été | il fait froid",
        ),
        (
            "go to the mall by bus",
            "the wall by bus now",
            "the mall",
            "by bus",
            "go to the mall | by bus now",
        ),
    ],
)  # fmt: skip
def test_joined(left: str, right: str, before: str, after: str, wanted: str) -> None:
    assert joined(left, right, before, after) == wanted


@given(
    st.lists(st.sampled_from(NUMBERS), min_size=8, max_size=24).filter(
        lambda said: all(a != b for a, b in pairwise(said))
    ),
    st.data(),
)
def test_no_word_is_lost_or_doubled(said: list[str], data: st.DataObject) -> None:
    """Two texts that are right, cut within words, with a witness that misses letters."""
    seam = data.draw(st.integers(3, len(said) - 3))
    n_shared = data.draw(st.integers(1, 3))
    first, last = seam - n_shared, seam + n_shared
    left = said[:last]
    right = said[first:]
    if data.draw(st.booleans()):
        left = [*left[:-1], left[-1][:2]]
        right = [right[0][2:] or "x", *right[1:]]

    def heard(words: list[str]) -> str:
        letters = list(" ".join(words))
        if len(letters) > 7:
            letters.pop(data.draw(st.integers(3, len(letters) - 4)))
        return "".join(letters)

    n_left, n_skipped = join(
        " ".join(left), " ".join(right),
        Seam(heard(said[first:seam]), heard(said[seam:last]), 0, 0),
    )  # fmt: skip
    got = left[:n_left] + right[n_skipped:]
    assert len(got) == len(said)
    wrong = [a for a, b in zip(got, said, strict=True) if a != b]
    assert len(wrong) <= 1  # of those that were cut, where only one side of the seam is shared


def test_letters_and_where_they_are() -> None:
    import mlx.core as mx
    import numpy as np

    from granite_mlx.segments.letters import letters_of

    labels = [0, 97, 97, 0, 0, 98, 32, 0, 0, 0, 0, 99, 99, 0, 99]
    logits = mx.array(np.eye(300)[labels])
    letters = letters_of(logits, 2)
    assert "".join(map(chr, letters.labels)) == "ab cc"
    assert letters.frames.tolist() == [2, 10, 12, 22, 28]
    assert letters.text(3, 28) == "b c"
    assert letters.is_speech
    assert letters.gap(0, 30) == (10, 22)  # between the words
    assert letters.sounds(60).nonzero()[0].tolist() == list(range(37))
    assert not letters_of(logits[:5], 2).is_speech
