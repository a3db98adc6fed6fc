import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from granite_mlx.segments.joining import Seam, join, join_by_times

Timed = tuple[str, float, float]

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


def lasting(words: list[str], lengths_s: list[float], gaps_s: list[float]) -> list[Timed]:
    """Words one behind the other."""
    timed, at_s = [], 0.0
    for word, length_s, gap_s in zip(words, lengths_s, gaps_s, strict=True):
        timed.append((word, at_s, at_s + length_s))
        at_s += length_s + gap_s
    return timed


@given(st.data())
def test_no_word_is_lost_or_doubled(data: st.DataObject) -> None:
    """Two pieces that heard all their words, cut within words, and give times that are off."""
    n = 16
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    said = lasting(
        [str(word) for word in rng.choice(NUMBERS[:3], n)],  # few: periods of all kinds
        rng.uniform(0.2, 0.6, n).tolist(), rng.uniform(0.0, 0.1, n).tolist(),
    )  # fmt: skip
    at_s = said[8][1] + float(rng.uniform(-0.05, 0.05))
    half_s = float(rng.uniform(0.7, 1.5))
    first_s, last_s = at_s - half_s, at_s + half_s
    left = heard([one for one in said if one[1] < last_s - 0.05], rng, 0.0, last_s)
    right = heard([one for one in said if one[2] > first_s + 0.05], rng, first_s, said[-1][2])
    n_left, n_skipped = join_by_times(spans(left), spans(right), at_s)
    got = [word for word, _, _ in left[:n_left] + right[n_skipped:]]
    assert got == [word for word, _, _ in said]


def heard(
    words: list[Timed], rng: np.random.Generator, first_s: float, last_s: float
) -> list[Timed]:
    """The words of a piece by their own times: inside the piece, in order, up to 50 ms off."""
    edges = np.array([[start_s, end_s] for _, start_s, end_s in words])
    off = np.clip(edges + rng.uniform(-0.05, 0.05, edges.shape), first_s, last_s)
    times = np.maximum.accumulate(off.ravel()).reshape(-1, 2).tolist()
    return [
        (word, start_s, end_s) for (word, _, _), (start_s, end_s) in zip(words, times, strict=True)
    ]


def spans(words: list[Timed]) -> list[tuple[float, float]]:
    return [(start_s, end_s) for _, start_s, end_s in words]


@pytest.mark.parametrize(
    ("left", "right", "wanted"),
    [
        ([(0, 1), (1, 2), (2, 2.4)], [(1.9, 2.05), (2.1, 3)], (2, 1)),
        # A text that ends early, one that begins late, and one that says nothing.
        ([(0, 1)], [(1.1, 1.9), (2, 3)], (1, 0)),
        ([(0, 1), (1.2, 2), (2.1, 2.5)], [(2.6, 3)], (3, 0)),
        ([], [(1.1, 1.9), (2, 3)], (0, 0)),
        ([(0, 1), (2.1, 3)], [], (2, 0)),
        # The word at the seam, which both take for theirs, or neither does.
        ([(0, 1), (1.6, 2.3)], [(1.7, 2.4), (2.5, 3)], (2, 1)),
        ([(0, 1), (1.7, 2.4)], [(1.5, 2.4), (2.5, 3)], (2, 1)),
    ],
)
def test_joined_by_times(
    left: list[tuple[float, float]], right: list[tuple[float, float]], wanted: tuple[int, int]
) -> None:
    assert join_by_times(left, right, 2.0) == wanted


def test_letters_and_where_they_are() -> None:
    import mlx.core as mx

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
