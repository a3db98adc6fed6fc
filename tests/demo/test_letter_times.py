"""Where the letters of the training utterances are said."""

import importlib
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import soundfile

from granite_mlx.ctc.alignment import AlignedWord

RATE = 16_000


@pytest.fixture(scope="module")
def letter_times(demo_recipe: ModuleType) -> ModuleType:
    pytest.importorskip("torch", reason="needs the extra `reference`")
    return importlib.import_module("demo.letter_times")


@pytest.mark.parametrize(
    ("word", "firsts", "wanted_s"),
    [
        ("chat", [5, 9, 12, 20], [0.1, 0.18, 0.24, 0.4]),
        ("l'été", [1, 4, 6, 9], [0.02, 0.08, 0.08, 0.12, 0.18]),  # what is not heard, with the next
        ("sœur", [1, 3, 4, 6, 8], [0.02, 0.06, 0.12, 0.16]),  # one character, two letters
        ("two'", [1, 3, 5], [0.02, 0.06, 0.1, 0.1]),
    ],
)
def test_each_character_has_a_time(
    letter_times: ModuleType, word: str, firsts: list[int], wanted_s: list[float]
) -> None:
    frames = np.array([[first, first + 1] for first in firsts])
    assert letter_times.letter_times(AlignedWord(word, frames, None)) == wanted_s


@pytest.mark.slow
def test_letters_of_an_example_are_where_they_sound(
    letter_times: ModuleType, demo_checkpoint: Path, tmp_path: Path
) -> None:
    """Silence before it moves them; an utterance that says something else is left out."""
    corpus, batches = (importlib.import_module(f"demo.{name}") for name in ("corpus", "batches"))
    samples, rate = soundfile.read(demo_checkpoint / "examples" / "english.flac", dtype="float32")
    assert rate == RATE
    said = (demo_checkpoint / "examples" / "english.txt").read_text().strip()
    later = np.concatenate([np.zeros(RATE // 2, np.float32), samples])

    def utterance(text: str):
        return corpus.Utterance("en", "espeak", ("-", "-", "-"), text, "-", [], False, "en-us")

    other = "Goodbye nobody washes seventeen umbrellas tonight."
    items = [(utterance(said), samples), (utterance(said), later), (utterance(other), samples)]
    corpus.write(tmp_path / "train_en", iter(items))
    model = letter_times.Model.from_pretrained(demo_checkpoint).float().eval()
    found = dict(letter_times.lines(model, batches.Corpus.open(tmp_path / "train_en"), 3))
    assert sorted(found) == [0, 1]
    words = said.split()
    assert [len(times) for times in found[0]] == [len(word.strip(".,?!")) for word in words]
    first, moved = (np.concatenate(found[i]) for i in (0, 1))
    assert (np.diff(first) >= 0).all()
    assert first[-1] < len(samples) / RATE
    np.testing.assert_allclose(moved - first, 0.5, atol=0.06)
