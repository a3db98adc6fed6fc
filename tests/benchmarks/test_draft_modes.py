"""The ways of using drafts side by side, and tables in documents."""

import importlib
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import soundfile

import granite_mlx

NAME = "a table, written by a script"
BEGIN, END = f"<!-- {NAME} -->", "<!-- end of a table -->"


@pytest.fixture(scope="module")
def draft_modes(benchmarks: ModuleType, demo_recipe: ModuleType) -> ModuleType:
    return importlib.import_module("benchmarks.draft_modes")


@pytest.fixture(scope="module")
def documents(benchmarks: ModuleType) -> ModuleType:
    return importlib.import_module("benchmarks.documents")


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


def test_a_table_takes_the_place_of_the_last_one(documents: ModuleType) -> None:
    text = f"before\n{BEGIN}\nold\n{END}\nafter\n"
    once = documents.with_block(text, NAME, "new")
    assert once == f"before\n{BEGIN}\nnew\n{END}\nafter\n"
    assert documents.with_block(once, NAME, "new") == once


@pytest.mark.parametrize("pattern", ["", "{0}", "{1}", "{1} {0}", "{0} {1} {0}", "{0} {1} {1}"])
def test_a_document_without_a_place_for_it(documents: ModuleType, pattern: str) -> None:
    with pytest.raises(ValueError, match="needs a line"):
        documents.with_block(pattern.format(BEGIN, END), NAME, "new")


def test_the_document_has_a_place_for_the_table(
    draft_modes: ModuleType, documents: ModuleType, repository: Path
) -> None:
    text = (repository / "docs" / "decoding.md").read_text(encoding="utf-8")
    assert "\nnew\n" in documents.with_block(text, draft_modes.NAME, "new")
