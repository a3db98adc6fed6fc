"""Drafts of the character head on the demo checkpoint: the same texts, with few decoder calls."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import granite_mlx
from granite_mlx import GraniteSpeech, Transcript
from granite_mlx.model.decoder import GraniteDecoder

ENOUGH_S = 120

FEW_CALLS = 8
"""Of the five examples: most drafts are right and are verified together with the prompt."""


@pytest.fixture(scope="module")
def examples(demo_checkpoint: Path) -> list[Path]:
    return sorted(demo_checkpoint.glob("examples/*.flac"))


@pytest.fixture(scope="module")
def model() -> Iterator[GraniteSpeech]:
    with granite_mlx.load("demo", dtype="float32") as model:
        yield model


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The tokens of each call of the decoder."""
    found: list[int] = []
    call = GraniteDecoder.__call__

    def counted(self: GraniteDecoder, embeddings: Any, cache: Any) -> Any:
        found.append(embeddings.shape[1])
        return call(self, embeddings, cache)

    monkeypatch.setattr(GraniteDecoder, "__call__", counted)
    return found


def texts(results: Any) -> list[str]:
    assert all(isinstance(one, Transcript) for one in results)
    return [one.text for one in results]


def test_the_same_texts_with_fewer_calls(
    model: GraniteSpeech, examples: list[Path], calls: list[int]
) -> None:
    plain = [model.transcribe(one, speculative="off") for one in examples]
    n_plain = len(calls)
    calls.clear()
    assert [model.transcribe(one) for one in examples] == plain
    assert len(calls) <= FEW_CALLS < n_plain / 5
    calls.clear()
    assert model.transcribe_batch(examples) == plain
    assert len(calls) <= 3


@pytest.mark.slow
@pytest.mark.parametrize(
    "options",
    [
        {"keywords": ["Erik", "Catherine"]},
        {"punctuate": True},
        {"keywords": ["Eric"], "end_s": 1.5},
    ],
    ids=["keywords", "punctuation", "part"],
)
def test_whatever_is_asked(
    model: GraniteSpeech, examples: list[Path], options: dict[str, Any]
) -> None:
    for one in examples:
        plain = model.transcribe(one, speculative="off", **options)
        assert model.transcribe(one, **options) == plain


def test_translations_and_samples_have_no_drafts(
    model: GraniteSpeech, examples: list[Path], calls: list[int]
) -> None:
    model.translate(examples[0], to="fr")
    model.transcribe(examples[0], temperature=1.0, seed=1, max_new_tokens=5)
    assert set(calls[1:]) >= {1}
    assert sum(n > 1 for n in calls) == 2  # the prompts


def test_relaxed_needs_no_more_calls(
    model: GraniteSpeech, examples: list[Path], calls: list[int]
) -> None:
    for one in examples:
        assert model.transcribe(one, speculative="relaxed").text
    assert len(calls) <= FEW_CALLS


def test_relaxed_lets_a_sure_head_have_the_last_word(
    model: GraniteSpeech, examples: list[Path], calls: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("granite_mlx.ctc.hearing.HIGHEST_ENTROPY", 100.0)
    for one in examples:
        relaxed = model.transcribe(one, speculative="relaxed")
        assert relaxed.text == model.ctc_text(one)
        assert relaxed.warnings == ()
    assert calls == []
    model.transcribe(examples[0], speculative="relaxed", keywords=["Erik"])
    assert calls  # the head knows no keywords
    batch = model.transcribe_batch(examples, speculative="relaxed")
    assert texts(batch) == [model.ctc_text(one) for one in examples]


@pytest.mark.slow
def test_the_command_line(examples: list[Path]) -> None:
    results = {}
    for way in ("exact", "relaxed", "off"):
        ran = subprocess.run(
            [sys.executable, "-m", "granite_mlx", "transcribe", "-m", "demo", "-f", "json",
             "--dtype", "float32", "--speculative", way, *map(str, examples)],
            capture_output=True, timeout=ENOUGH_S,
        )  # fmt: skip
        assert ran.returncode == 0, ran.stderr
        results[way] = [json.loads(line)["text"] for line in ran.stdout.decode().splitlines()]
    assert results["exact"] == results["off"]
    assert results["exact"] == [one.with_suffix(".txt").read_text().strip() for one in examples]
    assert len(results["relaxed"]) == len(examples)
    ran = subprocess.run(
        [sys.executable, "-m", "granite_mlx", "transcribe", "--speculative", "fast", "a.wav"],
        capture_output=True, timeout=ENOUGH_S,
    )  # fmt: skip
    assert ran.returncode == 2
    assert b"relaxed" in ran.stderr


def test_a_bad_file_in_a_batch(model: GraniteSpeech, examples: list[Path], tmp_path: Path) -> None:
    cut = tmp_path / "cut.flac"
    cut.write_bytes(examples[0].read_bytes()[:9_000])
    results = model.transcribe_batch([cut, *examples, tmp_path])
    assert isinstance(results[0], granite_mlx.AudioError)
    assert isinstance(results[-1], granite_mlx.AudioError)
    assert results[1:-1] == [model.transcribe(one) for one in examples]
