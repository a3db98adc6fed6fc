"""What the model is asked: one table of instructions, by model family.

An unfamiliar wording makes the model fall back to plain transcription, so none is made up here:

- 4.1 and 4.1-plus: IBM's model cards and its library granite-speech.
- 4.0: its card gives no wording for punctuation and translation; the announcement names the
  pairs, and 4.1's wording is used for both.
- 5.0: as 4.1; the sentence that tells the spoken language is mlx-audio's, since IBM's own is not
  known to us.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from granite_mlx.decoding.languages import LANGUAGE_NAMES, SPOKEN
from granite_mlx.decoding.word_times import WordTimes
from granite_mlx.errors import LanguageError
from granite_mlx.model.family import Family

Tags = Literal["speakers", "word_times"]
"""What the text can be marked with."""

TRANSLATING_MODEL = "ibm-granite/granite-speech-4.1-2b"
TAGGING_MODEL = "ibm-granite/granite-speech-4.1-2b-plus"


@dataclass(frozen=True)
class Wording:
    """The instructions of a family; None where it does not do what is asked.

    Where `{spoken}` stands, a known spoken language is told in the words of `spoken`; without
    the placeholder it is not told at all.
    """

    transcribe: str
    transcribe_keywords: str
    transcribe_punctuated: str | None
    spoken: str = "{language} "
    translate: str | None = "translate the speech to {language}."
    translate_punctuated: str | None = (
        "translate the speech to {language} with proper punctuation and capitalization."
    )
    tags: Mapping[Tags, str] = field(default_factory=dict)
    behind_audio: str = ""  # between the audio and the instruction
    system: str | None = None
    hears: tuple[str, ...] = SPOKEN


_PLAIN = "can you transcribe the speech into a written format?"
_KEYWORDS = "transcribe the speech to text."
_PUNCTUATED = "transcribe the speech with proper punctuation and capitalization."

WORDINGS: dict[Family, Wording] = {
    "4.0": Wording(
        transcribe=_PLAIN, transcribe_keywords=_PLAIN, transcribe_punctuated=_PUNCTUATED
    ),
    "4.1": Wording(
        transcribe=_PLAIN,
        transcribe_keywords=_KEYWORDS,
        transcribe_punctuated=(
            "transcribe the {spoken}speech with proper punctuation and capitalization."
        ),
    ),
    "4.1-plus": Wording(
        transcribe="can you transcribe the {spoken}speech into a written format?",
        transcribe_keywords="can you transcribe the {spoken}speech into a written format?",
        transcribe_punctuated=None,
        translate=None,
        translate_punctuated=None,
        tags={
            "speakers": (
                "Speaker attribution: Transcribe and denote who is speaking by adding "
                "[Speaker 1]: and [Speaker 2]: tags before speaker turns."
            ),
            "word_times": (
                "Timestamps: Transcribe the speech. After each word, add a timestamp tag showing "
                "the end time in centiseconds, e.g. hello [T:45] world [T:82]"
            ),
        },
        behind_audio=" ",
        # The dates are those of its training, which were the same in every example.
        system=(
            "Knowledge Cutoff Date: April 2024.\nToday's Date: December 19, 2024.\n"
            "You are Granite, developed by IBM. You are a helpful AI assistant"
        ),
        hears=("en", "fr", "de", "es", "pt"),
    ),
    "5.0": Wording(
        transcribe=f"{{spoken}}{_PLAIN}",
        transcribe_keywords=f"{{spoken}}{_KEYWORDS}",
        transcribe_punctuated=f"{{spoken}}{_PUNCTUATED}",
        spoken="The speech is in {language}. Transcribe it exactly; do not translate. ",
    ),
}


@dataclass(frozen=True)
class Task:
    """What is wanted of a recording. Languages are codes; `to` None means a transcript.

    `sounds_like` are (term, alias) pairs of some keywords; no prompt has them.
    """

    to: str | None = None
    spoken: str | None = None
    punctuate: bool = False
    keywords: tuple[str, ...] = ()
    tags: Tags | None = None
    sounds_like: tuple[tuple[str, str], ...] = ()


def instruction(task: Task, family: Family) -> str:
    """What follows the audio: a task in the wording that the family was trained with.

    Raises:
        LanguageError: the family does not hear the spoken language, or does not translate.
        ValueError: it does not mark its text as the task wants.
    """
    wording = WORDINGS[family]
    if task.spoken is not None and task.spoken not in wording.hears:
        raise LanguageError(
            f"{family} models do not understand spoken {LANGUAGE_NAMES[task.spoken]}; they hear "
            f"{', '.join(LANGUAGE_NAMES[code] for code in wording.hears)}."
        )
    if task.to is not None:
        text = _translation(task, task.to, family)
    elif task.tags is not None:
        text = _tagging(task.tags, family)
    else:
        text = _transcription(task, wording)
    return wording.behind_audio + _with_keywords(text, task.keywords)


def system_prompt(family: Family) -> str | None:
    """The system's turn before the question, where the family was trained with a fixed one."""
    return WORDINGS[family].system


def tags_for(speakers: bool, word_times: WordTimes) -> Tags | None:
    """The tags that tell what is asked for; ValueError for both at once."""
    if speakers and word_times == "model":
        raise ValueError(
            "speakers and word_times of the model cannot be had at once: it was trained to mark "
            "its text with one or the other; take aligned word_times."
        )
    return "speakers" if speakers else "word_times" if word_times == "model" else None


def _translation(task: Task, to: str, family: Family) -> str:
    wording = WORDINGS[family]
    template = wording.translate_punctuated if task.punctuate else wording.translate
    if template is None:
        raise LanguageError(
            f"{family} models do not translate; use another one, such as {TRANSLATING_MODEL}."
        )
    return template.format(language=LANGUAGE_NAMES[to])


def _tagging(tags: Tags, family: Family) -> str:
    text = WORDINGS[family].tags.get(tags)
    if text is None:
        raise ValueError(
            f"{tags} needs a model that was trained for it, such as {TAGGING_MODEL}; "
            f"{family} models were not."
        )
    return text


def _transcription(task: Task, wording: Wording) -> str:
    template = wording.transcribe_keywords if task.keywords else wording.transcribe
    if task.punctuate and wording.transcribe_punctuated is not None:
        template = wording.transcribe_punctuated
    spoken = ""
    if task.spoken is not None:
        spoken = wording.spoken.format(language=LANGUAGE_NAMES[task.spoken])
    return template.format(spoken=spoken)


def _with_keywords(text: str, keywords: tuple[str, ...]) -> str:
    """The list of keywords as a sentence of its own behind the instruction."""
    if not keywords:
        return text
    stop = "" if text.endswith((".", "?")) else "."
    return f"{text}{stop} Keywords: {', '.join(keywords)}"
