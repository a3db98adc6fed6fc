"""Which words the head was sure of."""

from typing import Any

import mlx.core as mx
import numpy as np

from granite_mlx.ctc.certainty import Certainty, HeardLabels, certainties, heard_labels
from granite_mlx.ctc.greedy import greedy_labels

RATE = 1000
TEXT = "one two three"
PLACES = tuple((n + 0.5) / len(TEXT) for n in range(len(TEXT)))


def heard(text: str = TEXT, **unsure: float) -> HeardLabels:
    """Each letter in a frame of its own; those of `unsure` words with another probability."""
    probabilities: list[float] = []
    for word in text.split():
        probabilities += [unsure.get(word, 0.99)] * len(word) + [0.1]
    return HeardLabels(tuple(map(ord, text)), tuple(probabilities[:-1]), PLACES)


def sound(soft: str = "") -> np.ndarray:
    """A second a letter."""
    words = {word: 0.01 if word == soft else 0.5 for word in TEXT.split()}
    levels = [level for word, level in words.items() for level in [level] * len(word) + [0.5]][:-1]
    return np.repeat(np.array(levels, np.float32), RATE)


def certain_words(*arguments: Any) -> list[bool]:
    return [one.is_certain for one in certainties(*arguments)]


def test_words_together() -> None:
    one, two, _ = certainties(heard(two=0.85), sound(), RATE)
    assert one.n_letters == 3
    assert (one + two).is_certain
    soft = certainties(heard(), sound("three"), RATE)[-1]
    assert not sum([one] * 20, soft).is_certain
    assert Certainty(0.0, 0).is_certain


def test_all_are_certain() -> None:
    assert certain_words(heard(), sound(), RATE) == [True, True, True]


def test_a_word_that_is_unsure() -> None:
    assert certain_words(heard(two=0.85), sound(), RATE) == [True, False, True]


def test_a_word_that_is_soft() -> None:
    assert certain_words(heard(), sound("three"), RATE) == [True, True, False]


def test_nothing() -> None:
    assert certain_words(HeardLabels(()), np.zeros(0, np.float32), RATE) == []
    assert certain_words(heard(), np.zeros(0, np.float32), RATE) == [True, True, True]


def test_signs_are_no_words() -> None:
    assert len(certain_words(heard("- one - two!"), sound(), RATE)) == 2


def test_labels_are_the_greedy_ones_and_where_they_begin() -> None:
    rng = np.random.default_rng(7)
    logits = mx.array(rng.normal(0, 3, (60, 12)).astype(np.float32))
    found = heard_labels(logits)
    assert list(found.labels) == greedy_labels(logits)
    frames = [round(place * 60 - 0.5) for place in found.places]
    likely = np.array(mx.softmax(logits, axis=-1))
    assert [int(likely[frame].argmax()) for frame in frames] == list(found.labels)
    np.testing.assert_allclose(found.probabilities, likely[frames].max(axis=1), rtol=1e-5)
