"""Tables in Markdown, and that every document has a place for those that are written into it."""

import importlib
from pathlib import Path
from types import ModuleType

import pytest

BEGIN, END = "<!-- some table: written by benchmarks -->", "<!-- end of some table -->"


@pytest.fixture(scope="module")
def tables(benchmarks: ModuleType) -> ModuleType:
    return importlib.import_module("benchmarks.tables")


def test_a_table(tables: ModuleType) -> None:
    rows = [["one", "1"], ["two", "2"]]
    assert tables.markdown(["name", "n"], rows).splitlines() == [
        "| name | n |",
        "| --- | --- |",
        "| one | 1 |",
        "| two | 2 |",
    ]
    assert tables.markdown(["name", "n"], rows, n_names=1).splitlines()[1] == "| --- | --: |"


def test_a_table_takes_the_place_of_the_last_one(tables: ModuleType, tmp_path: Path) -> None:
    document = tmp_path / "document.md"
    document.write_text(f"before\n{BEGIN}\n\nold\n\n{END}\nafter\n")
    write = tables.block_writer(document, "some table")
    assert "old" in document.read_text()
    for _ in range(2):
        write("new")
        assert document.read_text() == f"before\n{BEGIN}\n\nnew\n\n{END}\nafter\n"


@pytest.mark.parametrize("pattern", ["", "{0}", "{1}", "{1} {0}", "{0} {1} {0}", "{0} {1} {1}"])
def test_a_document_without_a_place_for_it(
    tables: ModuleType, tmp_path: Path, pattern: str
) -> None:
    """It is told before anything is measured."""
    document = tmp_path / "document.md"
    document.write_text(pattern.format(BEGIN, END))
    with pytest.raises(ValueError, match="needs a line"):
        tables.block_writer(document, "some table")


def test_without_a_document(tables: ModuleType) -> None:
    tables.block_writer(None, "some table")("new")


@pytest.mark.parametrize(
    ("name", "document"),
    [
        ("confidence", "word-times.md"),
        ("draft_modes", "decoding.md"),
        ("recipes", "quantisation.md"),
        ("word_times", "word-times.md"),
    ],
)
def test_the_document_has_a_place_for_the_table(
    tables: ModuleType, demo_recipe: ModuleType, repository: Path, name: str, document: str
) -> None:
    text = (repository / "docs" / document).read_text(encoding="utf-8")
    block = importlib.import_module(f"benchmarks.{name}").BLOCK
    assert "\nnew\n" in tables.with_block(text, block, "new")
