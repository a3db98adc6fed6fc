"""The ways of using drafts side by side."""

import importlib
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import soundfile

import granite_mlx


@pytest.fixture(scope="module")
def draft_modes(benchmarks: ModuleType, demo_recipe: ModuleType) -> ModuleType:
    return importlib.import_module("benchmarks.draft_modes")


@pytest.fixture(scope="module")
def recordings(demo_recipe: ModuleType, demo_checkpoint: Path) -> list[Any]:
    """Real digits, as a test set would have them."""
    held_out, corpus = (importlib.import_module(f"demo.{n}") for n in ("held_out", "corpus"))
    samples, _ = soundfile.read(demo_checkpoint / "examples" / "digits.flac", dtype="float32")
    said = (demo_checkpoint / "examples" / "digits.txt").read_text().strip()
    utterance = corpus.Utterance("en", "digits", ("digits", "-", "-"), said, said, [], False, "x")
    return [held_out.Recording("digits 0", "digits", utterance, samples)]


def test_the_three_ways_are_counted(draft_modes: ModuleType, recordings: list[Any]) -> None:
    with granite_mlx.load("demo", dtype="float32") as model:
        rows = {row.mode: row for row in draft_modes.measure(model, recordings)}
        untouched = draft_modes.GraniteDecoder.__call__
    assert list(rows) == ["off", "relaxed", "exact"]
    assert rows["off"].texts == rows["exact"].texts
    assert rows["off"].words["digits"].n_errors == 0
    assert rows["off"].words["digits"].n_wanted == 6
    assert rows["relaxed"].n_calls <= rows["exact"].n_calls < rows["off"].n_calls
    assert "counting" not in untouched.__qualname__
    lines = draft_modes.table(list(rows.values())).splitlines()
    assert len(lines) == 5
    assert "| off |  |  | 0.00 % | 1 of 1 |" in lines[2]
