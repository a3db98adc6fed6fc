"""The account of what the guard does to real answers."""

import importlib
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import soundfile

import granite_mlx
from granite_mlx.decoding.retries import LoopGuard

from ..speech.scripted import follow, loop


@pytest.fixture(scope="module")
def guard(benchmarks: ModuleType, demo_recipe: ModuleType) -> Any:
    return importlib.import_module("benchmarks.guard")


def test_a_loop_is_counted_and_compared(
    guard: Any, demo_checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = demo_checkpoint / "examples" / "english.flac"
    samples, rate = soundfile.read(path, dtype="float32")
    assert rate == guard.SAMPLE_RATE
    sound = guard.Sound(samples, path.with_suffix(".txt").read_text().strip())
    settled, judge = LoopGuard.settled, guard.writing.before_witness
    with granite_mlx.load("demo", dtype="float32") as model:
        found = guard.account(model, [sound, sound])
        assert (found.n_texts, found.n_loops, found.n_words_left_out) == (2, 0, 0)
        (horse, cat) = model.tokenizer.encode(" horse cat")
        follow(monkeypatch)(loop(horse, [cat]), n_prompts=99)
        found = guard.account(model, [sound])
        assert (found.n_texts, found.n_loops, found.n_made_worse) == (1, 1, 0)
        wrong = guard.Sound(
            sound.samples, "yesterday the neighbour found a small horse" + 99 * " cat"
        )
        assert guard.account(model, [wrong]).n_made_worse == 1
    assert (LoopGuard.settled, guard.writing.before_witness) == (settled, judge)


def test_hard_sounds(guard: Any) -> None:
    sounds = importlib.import_module("benchmarks.hard_sounds")
    rng = np.random.default_rng(1)
    held_out = importlib.import_module("demo.held_out")
    utterance: Any = None

    class Said(held_out.Recording):  # type: ignore[misc, name-defined]
        def plain(self, language: str, spelt: Any = ()) -> str:
            return f"said in {language}"

    recordings = [
        Said(str(n), "fr", utterance, rng.normal(0, 0.1, 900 + n).astype(np.float32))
        for n in range(sounds.N_VOICES)
    ]
    made = {
        "clipped": list(sounds.clipped(recordings)),
        "quiet": list(sounds.quiet(recordings)),
        "tones": list(sounds.tones(1, 4)),
        "babble": list(sounds.babble(recordings, 1, 3)),
        "nothing": list(sounds.silence_and_noise(1, 4)),
    }
    for several in made.values():
        assert all(one.samples.dtype == np.float32 for one in several)
        assert all(abs(one.samples).max() <= 1 for one in several)
    assert np.mean([np.mean(abs(one.samples) == 1) for one in made["clipped"]]) > 0.5
    assert 0 < max(abs(one.samples).max() for one in made["quiet"]) < 0.001
    assert {one.said for one in made["clipped"] + made["quiet"]} == {"said in fr"}
    assert {one.said for one in made["tones"] + made["babble"] + made["nothing"]} == {""}
