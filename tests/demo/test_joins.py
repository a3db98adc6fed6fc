"""Joined speech for training: which words a window holds, and which of their letters."""

import importlib
import json
import shutil
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

RATE = 16_000
LETTER_S = 0.1  # of each letter here, and of each space
NAMES = {"A": ("Eric", "Erik"), "B": ("Zoe", "Zoey"), "C": ("Sara", "Sarah")}


@pytest.fixture(scope="module")
def joins(demo_recipe: ModuleType) -> ModuleType:
    pytest.importorskip("torch", reason="needs the extra `reference`")
    return importlib.import_module("demo.joins")


@pytest.fixture(scope="module")
def said(joins: ModuleType) -> Any:
    """An utterance of even letters, whose samples are all of one value."""
    corpus = importlib.import_module("demo.corpus")

    def make(en: str, fr: str, names: str = "", value: float = 0.1) -> Any:
        u = corpus.Utterance(
            "en", "espeak", ("-", "-", "-"), en, fr, [NAMES[n] for n in names], False, "en-us"
        )
        times_s, at = [], 0
        for word in joins.heard(u).split():
            times_s.append([round((at + i) * LETTER_S, 2) for i in range(len(word))])
            at += len(word) + 1
        samples = np.full(int(at * LETTER_S * RATE), value, np.float32)
        return joins.Said(u, samples, times_s)

    return make


def at_s(joins: ModuleType, run: list[Any], start_s: float, end_s: float) -> Any:
    starts = np.cumsum([0, *(len(one.samples) for one in run[:-1])]).tolist()
    return joins.cut(run, starts, (round(start_s * RATE), round(end_s * RATE)))


@pytest.mark.parametrize(
    ("start_s", "end_s", "words", "letters"),
    [
        (0, 2.4, "One three {0}. Two four", "one three Eric two four"),
        (0.4, 1.5, "three {0}.", "three Eric"),
        (0.55, 1.5, "three {0}.", "ree Eric"),  # "three" begins at 0.4
        (0.75, 2.0, "{0}. Two", "e Eric two f"),
        (0.75, 1.2, "", "e Er"),
        (1.25, 2.15, "Two four", "c two fou"),
    ],
)
def test_a_window_has_the_words_that_are_mostly_in_it(
    joins: ModuleType, said: Any, start_s: float, end_s: float, words: str, letters: str
) -> None:
    run = [said("One three {0}.", "-", "A"), said("Two four", "-", value=0.2)]
    window = at_s(joins, run, start_s, end_s)
    assert (window.utterance.en, window.letters) == (words, letters)
    assert window.utterance.names == ([NAMES["A"]] if "{" in words else [])
    assert not window.is_whole
    n_first = max(0, len(run[0].samples) - round(start_s * RATE))
    wanted = np.full(round(end_s * RATE) - round(start_s * RATE), 0.1, np.float32)
    wanted[n_first:] = 0.2
    np.testing.assert_array_equal(window.samples, wanted)


def test_names_of_a_run_keep_their_places(joins: ModuleType, said: Any) -> None:
    run = [said("{1} sees {0}.", "{0} dit {1}.", "AB"), said("{0} is here.", "Et {0}.", "C")]
    window = joins.whole(run, [0, len(run[0].samples)])
    u = window.utterance
    assert (u.en, u.fr) == ("{1} sees {0}. {2} is here.", "{0} dit {1}. Et {2}.")
    assert u.names == [NAMES["A"], NAMES["B"], NAMES["C"]]
    assert window.letters == "Zoe sees Eric Sara is here"
    assert window.is_whole
    part = at_s(joins, run, 0.9, 2.0).utterance
    assert part.en.format(*(usual for usual, _ in part.names)) == "Eric. Sara"


def write(work: Path, joins: ModuleType, said: Any) -> None:
    """A work folder with two sentences and a name in every set."""
    corpus = importlib.import_module("demo.corpus")
    for name in ("en", "fr", "names_en", "names_fr", "digits"):
        both = [said("One two.", "Un deux."), said("{0} is here.", "{0} est ici.", "A")]
        corpus.write(work / f"train_{name}", ((one.utterance, one.samples) for one in both))
        lines = (json.dumps([i, one.times_s]) for i, one in enumerate(both))
        (work / f"train_{name}.letters.jsonl").write_text("\n".join(lines) + "\n")


def test_windows_are_as_long_as_they_are_asked_to_be(
    joins: ModuleType, said: Any, tmp_path: Path
) -> None:
    write(tmp_path, joins, said)
    source, rng = joins.Joins(tmp_path), np.random.default_rng(1)
    windows = [source.draw(rng, 2 * RATE) for _ in range(200)]
    lengths = np.array([len(w.samples) for w in windows])
    assert lengths.max() == 2 * RATE
    assert 0.5 < np.mean(lengths == 2 * RATE) < 0.95
    assert 0.05 < np.mean([w.is_whole for w in windows]) < 0.3
    assert all(w.utterance.en.count("{") == len(w.utterance.names) <= 1 for w in windows)
    cut = [w for w in windows if set(w.letters.split()) - set("one two is here Eric".split())]
    assert cut  # some words are


def test_batches_of_windows(joins: ModuleType, said: Any, tmp_path: Path, repository: Path) -> None:
    write(tmp_path, joins, said)
    batches = importlib.import_module("demo.batches")
    corpus, tokens = (importlib.import_module(f"demo.{name}") for name in ("corpus", "tokens"))
    tokenizer = tokens.load(repository / "granite_mlx" / "demo_checkpoint" / "tokenizer.json")
    pools = corpus.read_pools(repository / "demo" / "names.json")
    share = batches.Share(0, 1, np.random.default_rng(2))
    stream = joins.stream(
        joins.Joins(tmp_path), 4, tokenizer, pools, np.random.default_rng(3), share, 2
    )
    lengths = set()
    for _ in range(10):
        batch = next(stream)
        assert batch.is_joined
        assert len(batch.features) == 4
        assert len(batch.rows.answers) == len(batch.rows.letters) == 8
        assert batch.rows.letters[:4] == batch.rows.letters[4:]
        lengths.add(batch.features.shape[1])
    assert len(lengths) > 3


@pytest.mark.slow
def test_phases_with_joined_speech(
    joins: ModuleType, said: Any, tmp_path: Path, repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They start from a checkpoint, keep its running statistics and name the losses of windows."""
    write(tmp_path, joins, said)
    checkpoint = repository / "granite_mlx" / "demo_checkpoint"
    shutil.copyfile(checkpoint / "tokenizer.json", tmp_path / "tokenizer.json")
    shutil.copyfile(repository / "demo" / "names.json", tmp_path / "names.json")
    train, average = (importlib.import_module(f"demo.{name}") for name in ("train", "average"))
    shipped = train.Model.from_pretrained(checkpoint, dtype=train.torch.float32).state_dict()
    options = ["--work", tmp_path, "--steps", 2, "--batch", 2, "--rate", 1e-4, "--joined", 1]

    def run(phase: str, *more: object) -> set[str]:
        monkeypatch.setattr(sys, "argv", ["train", phase, *map(str, [*options, *more])])
        train.main()
        state = train.torch.load(tmp_path / f"{phase}.pt", weights_only=True)["model"]
        return {name for name in shipped if not state[name].equal(shipped[name])}

    moved = run("encoder", "--checkpoint", checkpoint, "--tokens-after", 0)
    assert {name.split(".")[1] for name in moved} == {"encoder", "projector"}
    assert not any("running" in name or "num_batches" in name for name in moved)
    monkeypatch.setattr(
        sys, "argv",
        ["average", str(tmp_path / "encoder.pt"), "--out", str(tmp_path / "joint.pt")],
    )  # fmt: skip
    average.main()
    assert {name for name in run("answers") if "language_model" in name}
    recipe = train.Recipe(tmp_path, 1, 0, 1, joined=1.0)
    recipe.reseed(0)
    assert set(train.encoder_phase(recipe, 2, 0)(0)) == {"ctc+", "mid+", "tok+"}
