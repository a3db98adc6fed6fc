"""The second pass: a question about a transcript, asked of a text model.

The whole path is `SecondPass.ask`, in numbered steps.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeAlias

from granite_mlx.asynchronous import awaited
from granite_mlx.cancelling import CancelToken
from granite_mlx.errors import AnswerError
from granite_mlx.second_pass.answers import Answer, AnswerWarning
from granite_mlx.second_pass.marking import Evidence, Marker
from granite_mlx.second_pass.numbering import Line, numbered
from granite_mlx.second_pass.prompting import Prompts
from granite_mlx.second_pass.schemas import (
    UnusableJSONError,
    cited,
    citing_schema,
    is_joined_whole,
    joined,
    judged,
    read_json,
)
from granite_mlx.second_pass.tasks import Task, load_task
from granite_mlx.second_pass.text_model import Schema, Stop, TextModel
from granite_mlx.second_pass.windows import groups, parts
from granite_mlx.transcript import Transcript

Form: TypeAlias = Literal["text", "json"]
FORMS: tuple[Form, ...] = ("text", "json")

MAX_NEW_TOKENS = 1024
MOST_TRIES = 3
"""How often a text model is asked for JSON before it is given up."""

OnText: TypeAlias = Callable[[str], None]
OnPart: TypeAlias = Callable[[int, int], None]


def _nobody(*_: object) -> None:
    """Nobody wants to know."""


@dataclass
class _Asking:
    """One question on its way."""

    prompts: Prompts
    evidence: Evidence
    on_text: OnText
    on_part: OnPart
    cancel: CancelToken
    warnings: list[AnswerWarning] = field(default_factory=list)
    is_whole: bool = True
    n_parts: int = 1

    def warn(self, code: str, message: str) -> None:
        self.warnings.append(AnswerWarning(code, message))


class SecondPass:
    """Asks a text model about transcripts. May be used from any thread.

    Args:
        text_model: `load_text_model(...)`, `SpeechDecoder(...)`, or an object of your own with the
            members of `TextModel`.
        max_new_tokens: the most tokens of an answer.

    Raises:
        ValueError: max_new_tokens is not a whole number from 1 to the model's window.
    """

    def __init__(self, text_model: TextModel, *, max_new_tokens: int = MAX_NEW_TOKENS) -> None:
        if isinstance(max_new_tokens, bool) or not isinstance(max_new_tokens, int):
            raise ValueError(f"max_new_tokens must be a whole number, not {max_new_tokens!r}.")
        if not 1 <= max_new_tokens < text_model.window:
            raise ValueError(
                f"max_new_tokens must be from 1 to {text_model.window - 1}, as the window of "
                f"{text_model.model_id} has {text_model.window} tokens, not {max_new_tokens}."
            )
        self.text_model = text_model
        self.max_new_tokens = max_new_tokens

    def ask(
        self,
        transcript: Transcript,
        question: str | None = None,
        *,
        task: Task | str | Path = "answer",
        form: Form = "text",
        on_text: OnText = _nobody,
        on_part: OnPart = _nobody,
        cancel: CancelToken | None = None,
    ) -> Answer:
        """Have the text model work on a transcript.

        Args:
            question: what is asked; the task "answer" needs one.
            task: "answer", "summary", "minutes", "clean-up", the folder of a task of your own, or
                what `load_task` and `task_of_prompt` return.
            form: "text", or "json" for a value that is valid against the task's schema.
            on_text: called on the caller's thread with some more of an answer in text; citations
                have their times and quotes are checked by then. All together are the answer's text.
            on_part: called with (number, n_parts) when one of several parts is begun.
            cancel: stops the work from any thread; this call then raises `Cancelled`.

        Raises:
            AnswerError: there is nothing to ask about, the window is too small, the model wrote
                nothing, or no valid JSON in three tries.
            ValueError: no such task or form, a question that is missing or out of place, or a task
                without a schema asked for JSON.
        """
        # 1. What is asked, checked before any work.
        task = task if isinstance(task, Task) else load_task(task)
        _check(task, question, form)
        lines = numbered(transcript)
        if not lines:
            raise AnswerError("the transcript holds no words; there is nothing to ask about.")
        schema = self._schema(task, form, len(transcript.segments))
        asking = _Asking(
            Prompts(task, question, schema), Evidence(transcript), on_text, on_part,
            cancel or CancelToken(),
        )  # fmt: skip
        if self.text_model.caution is not None:
            asking.warn("experiment", self.text_model.caution)

        # 2. Transcript to parts that fit into the window; mostly there is one.
        whole = asking.prompts.whole(lines)
        fits = self._fits(whole, self.max_new_tokens, schema, asking)
        asking.is_whole = fits and self._is_short(lines, task)
        if asking.is_whole:
            found = [lines]
        else:
            found = parts(lines, lambda some: self._part_fits(some, task, asking))
        asking.n_parts = len(found)

        # 3. Parts to the answer: written, or read as JSON.
        if schema is None:
            value, text = None, self._text(found, task, asking)
        else:
            value = self._value(found, task, schema, asking)
            value = judged(value, asking.evidence)
            for number in cited(value):
                asking.evidence.cite(number)
            text = json.dumps(value, ensure_ascii=False, indent=2)
        return self._answer(task, question, text, value, transcript, asking)

    async def ask_async(
        self,
        transcript: Transcript,
        question: str | None = None,
        *,
        cancel: CancelToken | None = None,
        **options: Any,
    ) -> Answer:
        """`ask`, awaited; a task that is cancelled stops the work."""
        return await awaited(
            lambda token: self.ask(transcript, question, cancel=token, **options), cancel
        )

    # Parts

    def _is_short(self, lines: Sequence[Line], task: Task) -> bool:
        """Whether the answer has room for what is written again, where that is the task."""
        if task.merge is not None:
            return True
        text = "\n".join(line.text for line in lines)
        return self.text_model.count_tokens(text) <= self.max_new_tokens * 3 // 4

    def _part_fits(self, lines: Sequence[Line], task: Task, asking: _Asking) -> bool:
        schema = asking.prompts.schema if task.merge is None else None
        prompt = asking.prompts.part(lines)
        n_new = self.max_new_tokens if task.merge is None else self._n_note_tokens
        is_short = len(lines) == 1 or self._is_short(lines, task)
        return is_short and self._fits(prompt, n_new, schema, asking)

    def _fits(self, prompt: str, n_new: int, schema: Schema | None, asking: _Asking) -> bool:
        longest = prompt if schema is None else asking.prompts.longest_retry(prompt)
        return self._has_room(longest, n_new)

    def _has_room(self, prompt: str, n_new: int) -> bool:
        return self.text_model.count_tokens(prompt) + n_new <= self.text_model.window

    @property
    def _n_note_tokens(self) -> int:
        """Of the notes on one part: several have to fit beside the answer."""
        return max(1, min(self.max_new_tokens, self.text_model.window // 8))

    # Answers

    def _text(self, found: Sequence[Sequence[Line]], task: Task, asking: _Asking) -> str:
        text = self._text_of(found, task, asking)
        if not text.strip():
            raise AnswerError(
                f"{self.text_model.model_id} wrote nothing; ask otherwise, or take another model."
            )
        return text

    def _text_of(self, found: Sequence[Sequence[Line]], task: Task, asking: _Asking) -> str:
        if task.merge is not None:
            return self._shown(self._last_prompt(found, asking), asking)
        texts: list[str] = []
        for number, lines in enumerate(found, 1):
            self._begin_part(number, asking)
            if texts:
                asking.on_text("\n")
            texts.append(self._shown(asking.prompts.part(lines), asking))
        return "\n".join(texts)

    def _value(
        self, found: Sequence[Sequence[Line]], task: Task, schema: Schema, asking: _Asking
    ) -> Any:
        if task.merge is not None:
            return self._json(self._last_prompt(found, asking), schema, asking)
        values = []
        for number, lines in enumerate(found, 1):
            self._begin_part(number, asking)
            inside = citing_schema(schema, lines[0].segment, lines[-1].segment)
            values.append(self._json(asking.prompts.part(lines), inside, asking))
        if not is_joined_whole(values):
            asking.warn(
                "joined",
                "the answers on the parts could not be joined whole: of numbers and the like the "
                "first part's stand; a task with a merge.txt makes one answer of them.",
            )
        return joined(values)

    def _last_prompt(self, found: Sequence[Sequence[Line]], asking: _Asking) -> str:
        """The prompt that the answer itself comes from: of the whole, or of notes on its parts."""
        if asking.is_whole:
            return asking.prompts.whole(found[0])
        notes = []
        for number, lines in enumerate(found, 1):
            self._begin_part(number, asking)
            notes.append(self._note(asking.prompts.notes_on(lines), asking))
        schema = asking.prompts.schema

        def is_last(some: Sequence[str]) -> bool:
            return self._fits(asking.prompts.merged(some), self.max_new_tokens, schema, asking)

        while not is_last(notes):
            notes = [
                self._note(asking.prompts.merged_notes(group), asking) if len(group) > 1
                else group[0]
                for group in groups(notes, lambda some: self._notes_fit(some, asking))
            ]  # fmt: skip
        return asking.prompts.merged(notes)

    def _notes_fit(self, notes: Sequence[str], asking: _Asking) -> bool:
        prompt = asking.prompts.merged_notes(notes)
        return self._fits(prompt, self._n_note_tokens, None, asking)

    def _begin_part(self, number: int, asking: _Asking) -> None:
        if asking.n_parts > 1:
            asking.on_part(number, asking.n_parts)

    def _shown(self, prompt: str, asking: _Asking) -> str:
        """An answer in text, told as it comes."""
        marker, shown = Marker(asking.evidence), []

        def show(text: str) -> None:
            if text:
                shown.append(text)
                asking.on_text(text)

        _, stop = self._written(
            prompt, self.max_new_tokens, None, asking, lambda text: show(marker.feed(text))
        )
        show(marker.finish())
        self._tell_limit(stop, self.max_new_tokens, "the answer", asking)
        return "".join(shown)

    def _note(self, prompt: str, asking: _Asking) -> str:
        text, stop = self._written(prompt, self._n_note_tokens, None, asking)
        self._tell_limit(stop, self._n_note_tokens, "the notes on a part", asking)
        if not text.strip():  # as where a part has nothing to do with the question
            asking.warn("no_notes", "the text model noted nothing on a part of the transcript.")
        return text

    def _json(self, prompt: str, schema: Schema, asking: _Asking) -> Any:
        complaint = None
        for _ in range(MOST_TRIES):
            asked = prompt if complaint is None else self._again(prompt, complaint, asking)
            text, stop = self._written(asked, self.max_new_tokens, schema, asking)
            try:
                return read_json(text, schema)
            except UnusableJSONError as error:
                complaint = str(error)
                if stop == "limit":
                    complaint = (
                        f"it was longer than {self.max_new_tokens} tokens; write less. {complaint}"
                    )
        raise AnswerError(
            f"{self.text_model.model_id} gave no valid JSON in {MOST_TRIES} tries: {complaint} "
            "Allow it more tokens, ask for text, or take another model."
        )

    def _again(self, prompt: str, complaint: str, asking: _Asking) -> str:
        """The prompt and what was wrong; as much of that as fits."""
        asked = asking.prompts.retried(prompt, complaint)
        while complaint and not self._has_room(asked, self.max_new_tokens):
            complaint = complaint[: len(complaint) // 2]
            asked = asking.prompts.retried(prompt, complaint)
        return asked

    def _written(
        self,
        prompt: str,
        n_new: int,
        schema: Schema | None,
        asking: _Asking,
        on_text: OnText = _nobody,
    ) -> tuple[str, Stop]:
        """What the model writes, and why it ended."""
        texts: list[str] = []
        stop: Stop = "end"
        pieces = self.text_model.stream(prompt, n_new, schema, asking.cancel)
        try:
            for piece in pieces:
                texts.append(piece.text)
                on_text(piece.text)
                stop = piece.stop or stop
        finally:
            pieces.close()
        return "".join(texts), stop

    def _schema(self, task: Task, form: Form, n_segments: int) -> Schema | None:
        if form == "text" or task.schema is None:
            return None
        return citing_schema(task.schema, 0, n_segments - 1)

    def _tell_limit(self, stop: Stop, n_most: int, what: str, asking: _Asking) -> None:
        if stop == "limit":
            asking.warn("limit", f"{what} broke off at the limit of {n_most} tokens.")

    def _answer(
        self,
        task: Task,
        question: str | None,
        text: str,
        value: Any,
        transcript: Transcript,
        asking: _Asking,
    ) -> Answer:
        evidence = asking.evidence
        for quote in evidence.quotes:
            if not quote.is_supported:
                asking.warn("unsupported_quote", f'not in the transcript: "{quote.text}".')
        for number, quote in evidence.misplaced:
            asking.warn(
                "misplaced_quote",
                f'"{quote.text}" was not said in segment {number}, but in {quote.segments[0]}.',
            )
        for number in evidence.changed:
            asking.warn("changed_words", f"segment {number} was written again with other words.")
        for number in evidence.unknown:
            asking.warn("unknown_segment", f"the answer refers to segment {number}: there is none.")
        return Answer(
            task.name, question, text, value, evidence.citations, tuple(evidence.quotes),
            tuple(dict.fromkeys(asking.warnings)), self.text_model.model_id, transcript.model,
            asking.n_parts,
        )  # fmt: skip


def _check(task: Task, question: str | None, form: Form) -> None:
    if form not in FORMS:
        raise ValueError(f"form must be one of {', '.join(FORMS)}, not {form!r}.")
    if task.needs_question and not (question and question.strip()):
        raise ValueError(f"the task {task.name} needs a question.")
    if question is not None and not task.needs_question:
        raise ValueError(
            f"the task {task.name} has no place for a question; leave it out, or put "
            "{{question}} into its prompt."
        )
    if form == "json" and task.schema is None:
        raise ValueError(f"the task {task.name} has no schema for answers in JSON.")
