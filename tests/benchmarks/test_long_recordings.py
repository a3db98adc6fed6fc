"""What the benchmark of long recordings counts, without a model."""

import importlib
from dataclasses import dataclass
from types import ModuleType

import numpy as np
import pytest

from granite_mlx.evaluate.error_rates import ErrorRate
from granite_mlx.transcript import Segment


@pytest.fixture(scope="module")
def long_recordings(benchmarks: ModuleType, demo_recipe: ModuleType) -> ModuleType:
    return importlib.import_module("benchmarks.long_recordings")


@dataclass(frozen=True)
class Utterance:
    samples: np.ndarray


def segments(*texts: str, touching: bool = True) -> list[Segment]:
    gap_s = 0.0 if touching else 0.5
    return [Segment(n * (1 + gap_s), n * (1 + gap_s) + 1, text) for n, text in enumerate(texts)]


@pytest.mark.parametrize(
    ("texts", "wanted"),
    [
        (("one two three", "four five six"), (0, 0)),
        (("one two", "four five six"), (1, 0)),
        (("one two three", "three four five six"), (0, 1)),
        (("one two three", "for five six"), (0, 0)),  # wrong, but neither lost nor doubled
        (("one three", "four five six"), (0, 0)),  # lost, but at no seam
    ],
)
def test_words_at_seams(
    long_recordings: ModuleType, texts: tuple[str, ...], wanted: tuple[int, int]
) -> None:
    said = "one two three four five six"
    assert long_recordings.at_seams(said, segments(*texts)) == wanted
    assert long_recordings.at_seams(said, segments(*texts, touching=False)) == (0, 0)


def test_utterances_are_where_they_are_said_to_be(long_recordings: ModuleType) -> None:
    rng = np.random.default_rng(0)
    utterances = [Utterance(rng.standard_normal(n).astype(np.float32)) for n in (9000, 400, 20000)]
    for between in long_recordings.CASES.values():
        samples, spans = long_recordings.joined(utterances, between)
        for one, (start_s, end_s) in zip(utterances, spans, strict=True):
            place = slice(round(start_s * 16_000), round(end_s * 16_000))
            np.testing.assert_array_equal(samples[place], one.samples)


def test_tables(long_recordings: ModuleType) -> None:
    row = long_recordings.Row(
        "no pause at all", "en", "decoder", 90.0, ErrorRate(1, 50), ErrorRate(2, 50), 9, 3, 0, 1, 0
    )
    memory = long_recordings.Memory(2.0, 3.0, 250_000_000, 40)
    head, rule, line = long_recordings.table([row]).splitlines()
    assert head.count("|") == rule.count("|") == line.count("|")
    assert "2.00 % (1 of 50) | 4.00 % (2 of 50)" in line
    assert long_recordings.memory_table([memory]).endswith("| 2 min | 3 s | 250 MB | 40 |")


def test_the_head_stands_alone_for_a_while(long_recordings: ModuleType) -> None:
    from granite_mlx.ctc import hearing

    before = hearing.HIGHEST_ENTROPY
    with long_recordings.head_alone():
        assert hearing.Hearing("a", 1e9).is_sure
    assert before == hearing.HIGHEST_ENTROPY
