"""What the model is asked: one table of instructions, by model family.

The wordings are those of IBM's model cards and library; an unfamiliar one makes the model fall
back to plain transcription. 4.0's card gives no wording for punctuation and translation; the
announcement names the pairs, and 4.1's wording is used for both.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from granite_mlx.decoding.languages import LANGUAGE_NAMES

Family = Literal["4.0", "4.1"]


@dataclass(frozen=True)
class Wording:
    """The instructions of a family; `{language}` is an English name, `{keywords}` a list."""

    transcribe: str
    transcribe_punctuated: str
    transcribe_punctuated_spoken: str | None  # where the family knows how to be told the language
    transcribe_keywords: str
    translate: str
    translate_punctuated: str
    keywords: str = " Keywords: {keywords}"


_PUNCTUATED = "transcribe the speech with proper punctuation and capitalization."
_TRANSLATE = "translate the speech to {language}."
_TRANSLATE_PUNCTUATED = (
    "translate the speech to {language} with proper punctuation and capitalization."
)
_PLAIN = "can you transcribe the speech into a written format?"

WORDINGS: dict[Family, Wording] = {
    "4.0": Wording(
        transcribe=_PLAIN,
        transcribe_punctuated=_PUNCTUATED,
        transcribe_punctuated_spoken=None,
        transcribe_keywords=_PLAIN,
        translate=_TRANSLATE,
        translate_punctuated=_TRANSLATE_PUNCTUATED,
    ),
    "4.1": Wording(
        transcribe=_PLAIN,
        transcribe_punctuated=_PUNCTUATED,
        transcribe_punctuated_spoken=(
            "transcribe the {language} speech with proper punctuation and capitalization."
        ),
        transcribe_keywords="transcribe the speech to text.",
        translate=_TRANSLATE,
        translate_punctuated=_TRANSLATE_PUNCTUATED,
    ),
}


@dataclass(frozen=True)
class Task:
    """What is wanted of a recording. Languages are codes; `to` None means a transcript."""

    to: str | None = None
    spoken: str | None = None
    punctuate: bool = False
    keywords: tuple[str, ...] = ()


def instruction(task: Task, family: Family) -> str:
    """The instruction for a task in the wording that the family was trained with."""
    wording = WORDINGS[family]
    if task.to is not None:
        template = wording.translate_punctuated if task.punctuate else wording.translate
        text = template.format(language=LANGUAGE_NAMES[task.to])
    elif task.punctuate:
        text = _punctuated(wording, task.spoken)
    else:
        text = wording.transcribe_keywords if task.keywords else wording.transcribe
    return text + keyword_clause(wording, task.keywords)


def _punctuated(wording: Wording, spoken: str | None) -> str:
    if spoken is not None and wording.transcribe_punctuated_spoken is not None:
        return wording.transcribe_punctuated_spoken.format(language=LANGUAGE_NAMES[spoken])
    return wording.transcribe_punctuated


def keyword_clause(wording: Wording, keywords: Sequence[str]) -> str:
    """The clause that lists keywords, or nothing."""
    return wording.keywords.format(keywords=", ".join(keywords)) if keywords else ""
