"""What the benchmark of live sessions counts, without a model."""

import importlib
from types import ModuleType

import numpy as np
import pytest

from granite_mlx.live.events import Draft, Final, TurnStarted
from granite_mlx.transcript import Segment, Word


@pytest.fixture(scope="module")
def live(benchmarks: ModuleType, demo_recipe: ModuleType) -> ModuleType:
    return importlib.import_module("benchmarks.live")


SPOKEN = [Word(0.0, 0.5, "one", None), Word(0.5, 1.0, "two", None), Word(3.0, 3.5, "two", None)]


def final(turn: int, start_s: float, end_s: float, text: str) -> Final:
    words = tuple(Word(start_s, end_s, word, None) for word in text.split())
    return Final(turn, start_s, end_s, (Segment(start_s, end_s, text, words=words),))


def test_words_of_drafts_that_change(live: ModuleType) -> None:
    shown = live.Shown()
    for event in (
        Draft(0, "one"),
        Draft(0, "one too"),
        Draft(0, "one two three"),  # one of two is changed
        final(0, 0, 1, "One two tree"),  # one of three, whatever the capitals
        Draft(1, "four"),
        final(1, 2, 3, ""),  # it was nothing
    ):
        shown.take(event)
    assert (shown.n_shown, shown.n_changed) == (5, 3)


def test_when_a_word_is_first_there(live: ModuleType) -> None:
    told = [
        live.Told(0.2, TurnStarted(0, 0.0)),
        live.Told(0.7, Draft(0, "one")),
        live.Told(1.3, Draft(0, "one two")),
        live.Told(1.9, final(0, 0.0, 1.0, "one two")),
        live.Told(4.0, final(1, 3.0, 3.5, "too")),
    ]
    assert live.first_shown_s(SPOKEN, told) == [0.7, 1.3, None]


def test_when_a_turn_is_final(live: ModuleType) -> None:
    told = [live.Told(1.9, final(0, 0.0, 1.0, "one two")), live.Told(2.0, final(1, 1.5, 2, ""))]
    assert live.final_lags_s(told) == [pytest.approx(0.9)]


def test_the_table_tells_what_was_measured(live: ModuleType) -> None:
    row = live.Lags("en", "wall", 1, 60.0, 100, (0.5, 1.0, 2.0), (0.7, 1.1, 1.2), 90, 9, 1, None)
    (_, _, line) = live.lag_table([row]).strip().splitlines()
    cells = [cell.strip() for cell in line.strip("|").split("|")]
    assert cells == [
        "en", "wall", "1", "1.0 min", "100", "0.50, 1.00, 2.00 s", "0.70, 1.10, 1.20 s",
        "10.0 % (9 of 90)", "1", "not known",
    ]  # fmt: skip


def test_the_demo_is_played(live: ModuleType) -> None:
    import granite_mlx

    with granite_mlx.load("demo") as model:
        (told,) = live.played(model, np.zeros(4000, np.float32), 1)
        assert told == []
        assert live.played_by_cpu(model, np.zeros(4000, np.float32)) == []
        assert live.at_once(model, np.zeros(4000, np.float32)).text == ""
