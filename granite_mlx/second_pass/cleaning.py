"""A transcript without its disfluencies, of the answers to the task "clean-up" as JSON."""

from __future__ import annotations

from dataclasses import replace

from granite_mlx.second_pass.answers import Answer
from granite_mlx.second_pass.marking import UNSUPPORTED
from granite_mlx.second_pass.quotes import keeps_words, words_of
from granite_mlx.transcript import Transcript, TranscriptWarning

LEAST_LEFT = 0.5
"""Of a segment's words; where fewer are left, more was lost than slips of the tongue."""


def cleaned(transcript: Transcript, answer: Answer) -> Transcript:
    """The transcript with the texts that an answer has for its segments.

    A segment keeps its own text, and there is a warning about it, where the answer leaves it out,
    has words that were not said there, or leaves out more than half of it. A segment whose text
    is another has no word times.

    Args:
        answer: to the task "clean-up" with the form "json", about this transcript.

    Raises:
        ValueError: an answer that has no lines.
    """
    lines = answer.value.get("lines") if isinstance(answer.value, dict) else None
    if not isinstance(lines, list):
        raise ValueError('this takes an answer to the task "clean-up" with form="json".')
    texts: dict[int, list[str]] = {}
    for line in lines:
        texts.setdefault(line["segment"], []).append(line["rewritten"].strip())
    segments, warnings = [], list(transcript.warnings)
    for number, segment in enumerate(transcript.segments):
        text = " ".join(texts.get(number, []))
        if text == segment.text or not segment.text.strip():
            segments.append(segment)
        elif reason := _refused(segment.text, text, number in texts):
            message = f"left as it was: the clean-up {reason}."
            warnings.append(
                TranscriptWarning("not_cleaned", message, segment.start_s, segment.end_s)
            )
            segments.append(segment)
        else:
            segments.append(replace(segment, text=text, words=(), confidence=None))
    return replace(transcript, segments=tuple(segments), warnings=tuple(warnings))


def _refused(before: str, after: str, is_there: bool) -> str | None:
    """Why a text cannot stand for another; None where it can."""
    if not is_there:
        return "left it out"
    if UNSUPPORTED in after or not keeps_words(after, before):
        return "has words that were not said"
    if len(words_of(after)) < LEAST_LEFT * len(words_of(before)):
        return "leaves out more than half of it"
    return None
