"""docs/second-pass.md against what it is about."""

import re
from pathlib import Path

import pytest

from granite_mlx.second_pass import TASKS, Answer, load_task
from granite_mlx.second_pass.model_folder import DEFAULT_TEXT_MODEL
from granite_mlx.second_pass.tasks import ALLOWED


@pytest.fixture(scope="module")
def page(repository: Path) -> str:
    return (repository / "docs" / "second-pass.md").read_text()


def first_column(page: str, header: str) -> list[str]:
    table = page[page.index(header) :].partition("\n\n")[0]
    cells = re.findall(r"^\| (`[^|]*) \|", table, flags=re.MULTILINE)
    return re.findall(r"`([^`]+)`", " ".join(cells))


def test_every_key_of_an_answer_is_described(page: str) -> None:
    record = Answer("t", None, "x", None, (), (), (), "a", "b", 1).to_record()
    assert first_column(page, "| key | type | meaning |") == ["file", *record]


def test_every_task_and_its_files_are_described(page: str) -> None:
    assert first_column(page, "| `--task` | answers |")[1:] == list(TASKS)
    files = first_column(page, "| file | with the markers | |")
    assert set(files) == {f"{name}.txt" for name in ALLOWED} | {"schema.json"}
    for name in {one for allowed in ALLOWED.values() for one in allowed}:
        assert f"`{{{{{name}}}}}`" in page


def test_every_warning_is_described(page: str, repository: Path) -> None:
    package = repository / "granite_mlx" / "second_pass"
    source = "".join(path.read_text() for path in package.glob("*.py"))
    codes = set(re.findall(r'(?:warn|TranscriptWarning)\(\s*"(\w+)"', source))
    assert {"unsupported_quote", "limit", "experiment", "not_cleaned"} <= codes
    for code in codes:
        assert f"(`{code}`)" in page, code


def test_the_default_model_is_the_one_that_is_named(page: str) -> None:
    assert f"`{DEFAULT_TEXT_MODEL}`" in page


def test_only_clean_up_is_joined() -> None:
    assert [name for name in TASKS if load_task(name).merge is None] == ["clean-up"]
