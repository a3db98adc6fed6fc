from pathlib import Path

import pytest

from granite_mlx.second_pass import TASKS, load_task, read_schema, task_of_prompt, write_tasks
from granite_mlx.second_pass.tasks import filled


@pytest.mark.parametrize("name", TASKS)
def test_a_task_that_was_written_out_is_the_same(name: str, tmp_path: Path) -> None:
    places = write_tasks(tmp_path / "mine")
    assert [place.name for place in places] == list(TASKS)
    assert load_task(tmp_path / "mine" / name) == load_task(name)


def test_a_changed_prompt_is_the_one_that_counts(tmp_path: Path) -> None:
    write_tasks(tmp_path)
    (tmp_path / "summary" / "prompt.txt").write_text("In verse, please: {{transcript}}")
    (tmp_path / "summary" / "retry.txt").write_text("No: {{error}}")
    task = load_task(tmp_path / "summary")
    assert task.prompt == "In verse, please: {{transcript}}"
    assert task.retry == "No: {{error}}"
    assert task.merge == load_task("summary").merge


def test_tasks_that_are_there_are_not_written_over(tmp_path: Path) -> None:
    (tmp_path / "minutes").mkdir()
    with pytest.raises(FileExistsError, match="minutes exists"):
        write_tasks(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["minutes"]


def test_a_folder_with_a_prompt_alone_is_a_task(tmp_path: Path) -> None:
    (tmp_path / "prompt.txt").write_text("Names in {{ transcript }}?")
    task = load_task(tmp_path)
    assert (task.name, task.part, task.merge, task.schema) == (
        tmp_path.name, "Names in {{ transcript }}?", None, None,
    )  # fmt: skip
    assert not task.needs_question


def test_a_prompt_file_alone_is_a_task_that_merges(tmp_path: Path) -> None:
    path = tmp_path / "names.txt"
    path.write_text("{{transcript}} {{question}}")
    task = task_of_prompt(path)
    assert task.name == "names"
    assert task.needs_question
    assert task.merge is not None


@pytest.mark.parametrize(
    ("prompt", "complaint"),
    [
        ("no marker", r"lacks \{\{transcript\}\}"),
        ("{{transcript}} {{questoin}}", r"the marker \{\{questoin\}\}; it may have"),
        ("{{notes}}", r"the marker \{\{notes\}\}"),
    ],
)
def test_a_prompt_that_cannot_work_is_refused(prompt: str, complaint: str, tmp_path: Path) -> None:
    path = tmp_path / "mine.txt"
    path.write_text(prompt)
    with pytest.raises(ValueError, match=complaint):
        task_of_prompt(path)


def test_what_is_missing_or_unreadable_is_said_in_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no task 'sumary': give one of answer, summary"):
        load_task("sumary")
    with pytest.raises(ValueError, match="cannot be read"):
        task_of_prompt(tmp_path / "none.txt")
    (tmp_path / "latin.txt").write_bytes(b"\xff{{transcript}}")
    with pytest.raises(ValueError, match="not UTF-8"):
        task_of_prompt(tmp_path / "latin.txt")
    (tmp_path / "schema.json").write_text("{")
    with pytest.raises(ValueError, match="no JSON Schema"):
        read_schema(tmp_path / "schema.json")


def test_what_is_put_into_a_prompt_is_not_looked_at_again() -> None:
    values = {"transcript": "{{question}} \\1", "question": "{{transcript}}"}
    assert (
        filled("{{transcript}}|{{question}}|{x}", values) == "{{question}} \\1|{{transcript}}|{x}"
    )


def test_a_path_is_a_folder_whatever_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "minutes").mkdir()
    (tmp_path / "minutes" / "prompt.txt").write_text("Mine: {{transcript}}")
    monkeypatch.chdir(tmp_path)
    assert load_task(Path("minutes")).prompt == load_task("./minutes").prompt
    assert load_task("minutes") != load_task(Path("minutes"))
