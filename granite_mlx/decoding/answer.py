"""What the model answered: its text as segments, and what the reader should know about it."""

from __future__ import annotations

from collections.abc import Iterator

from granite_mlx.decoding.generate import Generated
from granite_mlx.decoding.prompts import WORDINGS, Task
from granite_mlx.model.family import Family
from granite_mlx.transcript import Segment, TranscriptWarning
from granite_mlx.transcript.tags import parse_tags


def read_answer(text: str, family: Family, start_s: float, end_s: float) -> tuple[Segment, ...]:
    """A text about the recording from `start_s` to `end_s`, by turns where the family marks them.

    A model that was trained with tags writes them at times without being asked.
    """
    if WORDINGS[family].tags:
        return parse_tags(text, start_s, end_s)
    return (Segment(start_s, end_s, text),) if text else ()


def answer_warnings(
    answer: Generated, budget: int, task: Task, family: Family, segments: tuple[Segment, ...]
) -> Iterator[TranscriptWarning]:
    """What is missing of the answer to a task, for which there were `budget` tokens."""
    if answer.way == "heard":
        yield _warning(
            "loop_heard",
            "the decoder repeated itself at each try; the text is what the encoder heard.",
        )
    elif answer.looped:
        yield _warning(
            "loop_cut_off",
            "the text ends where the decoder began to repeat itself; it may be incomplete.",
        )
    elif answer.way == "sampled":
        yield _warning(
            "loop_sampled", "the decoder repeated itself; the text is that of a sampled retry."
        )
    elif answer.way == "without_keywords":
        yield _warning(
            "without_keywords",
            "the keywords led the decoder astray; the text was written without those that it "
            "did not hear.",
        )
    if not answer.finished and not answer.looped:
        yield _warning(
            "cut_off",
            f"the text was cut off after {budget} tokens; it may be incomplete or repeat itself.",
        )
    if task.punctuate and WORDINGS[family].transcribe_punctuated is None:
        yield _warning(
            "not_punctuated", f"{family} models write neither punctuation nor capital letters."
        )
    if task.tags == "speakers" and any(segment.speaker is None for segment in segments):
        yield _warning("no_speakers", "the model did not tell who speaks, at least in part.")
    if task.tags == "word_times" and any(not segment.words for segment in segments):
        yield _warning("no_word_times", "the model did not tell when the words are said.")


def _warning(code: str, message: str) -> TranscriptWarning:
    return TranscriptWarning(code, message, start_s=None, end_s=None)
