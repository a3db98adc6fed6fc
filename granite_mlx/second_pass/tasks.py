"""Tasks for the text model. A task is a folder of text files, which users copy and change:

    prompt.txt    what is asked about a transcript that fits into the window
    part.txt      about a part of one that does not (without it: prompt.txt)
    merge.txt     to make one answer of the notes on the parts (without it: they are joined)
    schema.json   the JSON Schema of its answers as JSON (without it: text only)
    json.txt, retry.txt, material.txt
                  what all tasks have in common; without them, those of the package

In a prompt, {{transcript}}, {{question}} and {{notes}} stand for what is put there.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from granite_mlx.second_pass.schemas import checked_schema
from granite_mlx.second_pass.text_model import Schema

FOLDER = Path(__file__).parent / "prompts"
TASKS = ("answer", "summary", "minutes", "clean-up")
MARKER = re.compile(r"\{\{\s*(\w+)\s*\}\}")
ALLOWED = {
    "prompt": {"transcript", "question"},
    "part": {"transcript", "question"},
    "merge": {"notes", "question", "task"},
    "json": {"schema"},
    "retry": {"error"},
    "material": {"mark"},
}
NEEDED = {"prompt": "transcript", "part": "transcript", "merge": "notes", "json": "schema",
          "retry": "error", "material": "mark"}  # fmt: skip


@dataclass(frozen=True)
class Task:
    """What the text model is told to do, in texts with markers; see the files above.

    Raises:
        ValueError: a text has a marker that it cannot have, or lacks the one that it needs.
    """

    name: str
    prompt: str
    part: str
    merge: str | None
    schema: Schema | None
    json: str
    retry: str
    material: str

    def __post_init__(self) -> None:
        for field, allowed in ALLOWED.items():
            text = getattr(self, field)
            if text is None:
                continue
            found = set(MARKER.findall(text))
            if unknown := sorted(found - allowed):
                raise ValueError(
                    f"the {field} of the task {self.name} has the marker "
                    f"{{{{{unknown[0]}}}}}; it may have {_shown(allowed)}."
                )
            if NEEDED[field] not in found:
                raise ValueError(
                    f"the {field} of the task {self.name} lacks {_shown({NEEDED[field]})}."
                )

    @property
    def needs_question(self) -> bool:
        """Whether its prompt has a place for one."""
        return "question" in MARKER.findall(self.prompt)


def load_task(task: str | Path) -> Task:
    """A task of the package by its name, or one of your own by the path of its folder.

    Raises:
        ValueError: there is no such task, or its files do not make one.
    """
    name = str(task)
    is_ours = isinstance(task, str) and name in TASKS  # Path("minutes") is a folder of yours
    folder = FOLDER / name if is_ours else Path(task).expanduser()
    if not (folder / "prompt.txt").is_file():
        raise ValueError(
            f"there is no task {name!r}: give one of {', '.join(TASKS)}, or a folder with a "
            "prompt.txt."
        )
    prompt = _read(folder / "prompt.txt")
    schema = folder / "schema.json"
    return Task(
        name=name if is_ours else folder.resolve().name,
        prompt=prompt,
        part=_optional(folder / "part.txt") or prompt,
        merge=_optional(folder / "merge.txt"),
        schema=read_schema(schema) if schema.is_file() else None,
        **_common(folder),
    )


def task_of_prompt(path: str | Path, schema: Schema | None = None) -> Task:
    """A task of a single prompt file. Of a long transcript, answers to its parts become one.

    Raises:
        ValueError: the file cannot be read, or lacks {{transcript}}.
    """
    path = Path(path).expanduser()
    prompt = _read(path)
    return Task(path.stem, prompt, prompt, _read(FOLDER / "merge.txt"), schema, **_common(FOLDER))


def read_schema(path: str | Path) -> Schema:
    """A JSON Schema in a file.

    Raises:
        ValueError: it cannot be read, is not JSON, or is no schema.
    """
    try:
        schema = json.loads(_read(Path(path).expanduser()))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path}: this is no JSON Schema ({error}).") from error
    return checked_schema(schema, str(path))


def write_tasks(folder: str | Path) -> list[Path]:
    """Copy the package's tasks into a folder, to be changed there; -> their folders.

    Raises:
        FileExistsError: one of them is there already; nothing has been written.
    """
    folder = Path(folder).expanduser()
    places = [folder / name for name in TASKS]
    for place in places:
        if place.exists():
            raise FileExistsError(f"{place} exists; give another folder, or move it away.")
    for name, place in zip(TASKS, places, strict=True):
        shutil.copytree(FOLDER / name, place)
        for common in ("json.txt", "retry.txt", "material.txt"):
            shutil.copy(FOLDER / common, place / common)
    return places


def filled(text: str, values: Mapping[str, str]) -> str:
    """A text with its markers replaced; what is put there is not looked at again."""
    return MARKER.sub(lambda match: values[match[1]], text).strip()


def without_material(prompt: str) -> str:
    """A prompt as it can be shown beside notes, which stand for the transcript."""
    return MARKER.sub(lambda match: "(the transcript)" if match[1] == "transcript" else match[0],
                      prompt).strip()  # fmt: skip


def _common(folder: Path) -> dict[str, str]:
    names = ("json", "retry", "material")
    return {
        name: _optional(folder / f"{name}.txt") or _read(FOLDER / f"{name}.txt") for name in names
    }


def _optional(path: Path) -> str | None:
    return _read(path) if path.is_file() else None


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise ValueError(f"{path} cannot be read ({error.strerror}).") from error
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not UTF-8 text.") from error


def _shown(names: set[str]) -> str:
    return ", ".join(f"{{{{{name}}}}}" for name in sorted(names))
