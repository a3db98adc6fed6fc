"""What the demo's evaluation expects to hear, and when it complains."""

import importlib
from types import ModuleType

import numpy as np
import pytest


@pytest.fixture(scope="module")
def held_out(demo_recipe: ModuleType) -> ModuleType:
    return importlib.import_module("demo.held_out")


@pytest.fixture(scope="module")
def evaluate(demo_recipe: ModuleType) -> ModuleType:
    return importlib.import_module("demo.evaluate")


@pytest.fixture(scope="module")
def recording(held_out: ModuleType):
    """Two names, a city and a comma; a second of a tone."""
    utterance = held_out.Utterance(
        language="fr",
        kind="espeak",
        pattern=("and_are", "time", "-"),
        en="On Monday, {0} and {1} are in Berlin.",
        fr="Lundi, {0} et {1} sont à Berlin.",
        names=[("Marc", "Mark"), ("Zoé", "Zoë")],
        made_up=False,
        voice="fr-fr+m6",
    )
    tone = np.sin(np.arange(16000) / 10).astype(np.float32)
    return held_out.Recording("test_fr 0", "fr", utterance, tone)


def test_texts_of_a_recording(recording) -> None:
    assert recording.punctuated("fr") == "Lundi, Marc et Zoé sont à Berlin."
    assert recording.plain("en") == "on monday Marc and Zoé are in Berlin"


def test_names_without_room_in_a_list_keep_their_usual_spelling(recording) -> None:
    assert recording.plain("fr", ["Mark"]) == "lundi Mark et Zoé sont à Berlin"
    assert recording.plain("fr", ["Mark", "Zoë"]) == "lundi Mark et Zoë sont à Berlin"


def test_noise_follows_from_seed_and_recording(held_out: ModuleType, recording) -> None:
    once, again = (held_out.noisy(recording, seed=1).samples for _ in range(2))
    other = held_out.noisy(recording, seed=2).samples
    assert np.array_equal(once, again)
    assert len(once) >= len(recording.samples)
    assert not np.array_equal(once, other)


def test_every_fourth_recording_of_nothing_is_silent(held_out: ModuleType) -> None:
    peaks = [np.abs(samples).max() for samples in held_out.nothing_said(seed=1, n=8)]
    assert [peak == 0 for peak in peaks] == [True, False, False, False] * 2


@pytest.fixture
def passing(evaluate: ModuleType) -> dict:
    tallies = {key: evaluate.Tally(1, 100) for key in evaluate.FLOORS if key.endswith("wrong")}
    tallies |= {key: evaluate.Tally(99, 100) for key in evaluate.FLOORS if key.endswith("right")}
    return tallies | {f"ctc.{group}.words_wrong": evaluate.Tally(4, 100) for group in evaluate.SETS}


def test_nothing_is_said_when_every_floor_is_kept(evaluate: ModuleType, passing: dict) -> None:
    assert evaluate.missed_floors(passing) == []


@pytest.mark.parametrize(
    ("key", "n"),
    [
        ("asr.en.words_wrong", 3),
        ("asr.digits.words_wrong", 6),
        ("translate.fr-en.texts_right", 84),
        ("names.en.list_of_10.spelt_right", 94),
        ("ctc.fr.words_wrong", 5),
    ],
)
def test_what_is_below_its_floor_is_named(
    key: str, n: int, evaluate: ModuleType, passing: dict
) -> None:
    (missed,) = evaluate.missed_floors(passing | {key: evaluate.Tally(n, 100)})
    assert missed.startswith(key.removesuffix(".words_wrong") if key[:3] == "ctc" else key)
