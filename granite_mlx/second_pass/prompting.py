"""The messages that a text model is asked: a task's texts, filled in."""

from __future__ import annotations

import json
from collections.abc import Sequence

from granite_mlx.second_pass.numbering import Line, delimited
from granite_mlx.second_pass.schemas import MOST_SHOWN
from granite_mlx.second_pass.tasks import Task, filled, without_material
from granite_mlx.second_pass.text_model import Schema

LONGEST_COMPLAINT = 2 * MOST_SHOWN  # of characters


class Prompts:
    """Of one task and one question; `schema` is what the last answer is to be valid against."""

    def __init__(self, task: Task, question: str | None, schema: Schema | None) -> None:
        self._task, self._question = task, (question or "").strip()
        self.schema = schema

    def whole(self, lines: Sequence[Line]) -> str:
        """About a whole transcript."""
        return self._with_schema(self._about(self._task.prompt, lines))

    def part(self, lines: Sequence[Line]) -> str:
        """About a part, whose answer is a part of the answer where there is nothing to merge."""
        text = self.notes_on(lines)
        return text if self._task.merge is not None else self._with_schema(text)

    def notes_on(self, lines: Sequence[Line]) -> str:
        """About a part, for notes in text."""
        return self._about(self._task.part, lines)

    def merged(self, notes: Sequence[str]) -> str:
        """For the answer, from all notes."""
        return self._with_schema(self.merged_notes(notes))

    def merged_notes(self, notes: Sequence[str]) -> str:
        """For notes in place of several."""
        block, mark = delimited("notes", [f"Part {n}:\n{note}" for n, note in enumerate(notes, 1)])
        values = {
            "notes": block,
            "question": self._question,
            "task": filled(without_material(self._task.prompt), {"question": self._question}),
        }
        return self._with_material(filled(self._task.merge or "{{notes}}", values), mark)

    def retried(self, prompt: str, complaint: str) -> str:
        """The same again, told what was wrong with the last answer."""
        short = complaint[:LONGEST_COMPLAINT]
        return f"{prompt}\n\n{filled(self._task.retry, {'error': short})}"

    def longest_retry(self, prompt: str) -> str:
        """As long as `retried` may get, for counting: hardly any text has more tokens."""
        return self.retried(prompt, "[0] " * (LONGEST_COMPLAINT // 4))

    def _about(self, text: str, lines: Sequence[Line]) -> str:
        block, mark = delimited("transcript", [line.text for line in lines])
        values = {"transcript": block, "question": self._question}
        return self._with_material(filled(text, values), mark)

    def _with_material(self, text: str, mark: str) -> str:
        """In front: what a prompt ends with is followed most."""
        return f"{filled(self._task.material, {'mark': mark})}\n\n{text}"

    def _with_schema(self, text: str) -> str:
        if self.schema is None:
            return text
        shown = json.dumps(self.schema, ensure_ascii=False)
        return f"{text}\n\n{filled(self._task.json, {'schema': shown})}"
