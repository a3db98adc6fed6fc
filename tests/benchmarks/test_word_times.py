"""The benchmarks of word times and confidence: what they compute, on made-up numbers."""

import importlib
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from granite_mlx.ctc.borders import RULE
from granite_mlx.transcript import confidence as maps


@pytest.fixture(scope="module")
def spoken_words(benchmarks: ModuleType, demo_recipe: ModuleType) -> Any:
    return importlib.import_module("benchmarks.spoken_words")


@pytest.fixture(scope="module")
def heard_words(benchmarks: ModuleType, demo_recipe: ModuleType) -> Any:
    return importlib.import_module("benchmarks.heard_words")


@pytest.fixture(scope="module")
def word_times(benchmarks: ModuleType, demo_recipe: ModuleType) -> Any:
    return importlib.import_module("benchmarks.word_times")


@pytest.fixture(scope="module")
def confidence(benchmarks: ModuleType, demo_recipe: ModuleType) -> Any:
    return importlib.import_module("benchmarks.confidence")


@pytest.fixture(scope="module")
def document(repository: Path) -> str:
    return (repository / "docs" / "word-times.md").read_text(encoding="utf-8")


# espeak-ng's marks


def test_words_end_at_the_next_one_or_at_the_pause_before_it(spoken_words: Any) -> None:
    mark = spoken_words.Mark
    marks = [
        mark(0, place=0), mark(0), mark(50), mark(80, is_pause=True), mark(90, is_pause=True),
        mark(100, place=4), mark(100), mark(120, is_pause=True), mark(130),
        mark(200, place=6), mark(200), mark(300, is_pause=True),
    ]  # fmt: skip
    assert spoken_words.word_spans("Oh, I see", marks, 400) == [(0, 80), (100, 200), (200, 300)]


def test_words_that_are_said_in_one_have_no_times(spoken_words: Any) -> None:
    mark = spoken_words.Mark
    assert spoken_words.word_spans("in the", [mark(0, place=0), mark(0)], 100) is None
    # espeak-ng 1.51 puts the second word's mark into the one before at times
    assert spoken_words.word_spans("live in", [mark(0, place=0), mark(9, place=2)], 100) is None


def test_silence_at_the_ends_goes_and_the_times_go_with_it(spoken_words: Any) -> None:
    samples = np.zeros(16000, np.float32)
    samples[4000:12000] = 0.5
    word = spoken_words.SpokenWord(0.25, 0.9, "oh")
    spoken = spoken_words.trimmed(spoken_words.Spoken("x", "en", samples, (word,)))
    assert len(spoken.samples) == pytest.approx(8000 + 1600, abs=2)
    (word,) = spoken.words
    assert (word.start_s, word.end_s) == (pytest.approx(0.05), pytest.approx(0.6, abs=0.001))


# Which words are right


@pytest.mark.parametrize(
    ("wanted", "got", "pairs"),
    [
        ("a b c", "a b c", [(0, 0), (1, 1), (2, 2)]),
        ("a b c", "a x c", [(0, 0), (2, 2)]),
        ("a b c", "b c", [(1, 0), (2, 1)]),
        ("a c", "a b c", [(0, 0), (1, 2)]),
        ("a", "", []),
        ("", "a", []),
    ],
)
def test_matches(heard_words: Any, wanted: str, got: str, pairs: list[tuple[int, int]]) -> None:
    assert heard_words.matches(wanted.split(), got.split()) == pairs


# Figures


def test_floors(word_times: Any) -> None:
    good, late = np.array([5.0, -30, 20, 90]), np.array([5.0, -30, 120, 130])
    assert word_times.Row("x", 4, good, good).meets_floors
    assert not word_times.Row("x", 4, good, late).meets_floors
    assert not word_times.Row("x", 4, late, good).meets_floors
    assert word_times.table([word_times.Row("x", 5, good, late)]).splitlines()[2] == (
        "| x | 5 | 4 | 25 ms | 72 ms | 100.0 % | 75 ms | 127 ms | 50.0 % |"
    )


def test_expected_calibration_error(confidence: Any) -> None:
    right = np.array([1.0, 0.0, 1.0, 1.0])
    assert confidence.expected_error(np.array([0.5, 0.5, 1.0, 1.0]), right) == 0
    assert confidence.expected_error(np.full(4, 0.95), right) == pytest.approx(0.2)
    assert confidence.expected_error(np.array([0.15, 0.95, 0.95, 0.95]), right) == (
        pytest.approx((0.85 + 0.85) / 4)
    )


def test_the_fit_finds_the_map_that_made_the_words(confidence: Any) -> None:
    rng = np.random.default_rng(0)
    features = rng.uniform(-9, 9, size=(40000, 2))
    known = 1 / (1 + np.exp(-(0.5 + 0.4 * features[:, 0] + 0.2 * features[:, 1])))
    found = confidence.fitted(features, (rng.random(40000) < known).astype(float))
    assert found == pytest.approx([0.5, 0.4, 0.2], abs=0.05)


def test_the_area_under_the_curve(confidence: Any) -> None:
    right = np.array([1.0, 1.0, 0.0, 0.0])
    assert confidence.area(np.array([0.9, 0.8, 0.2, 0.1]), right) == 1
    assert confidence.area(np.array([0.9, 0.2, 0.2, 0.1]), right) == pytest.approx(0.875)


# The document


def test_the_document_has_the_numbers_in_use(document: str) -> None:
    for name in ("BOTH", "DECODER_ALONE", "HEAD_ALONE"):
        one = getattr(maps, name)
        assert f"| `{name}` | {one.bias:g} | {one.decoder:g} | {one.head:g} |" in document
    for name, value in vars(RULE).items():
        assert f"| `{name}` | {value:g} |" in document
