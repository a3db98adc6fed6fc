"""One recording and what is wanted of it, checked before any work; and what comes of it."""

from __future__ import annotations

import math
from collections.abc import Callable, Container, Iterable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from granite_mlx.audio.files import SAMPLE_RATE, AudioSource
from granite_mlx.audio.stream import Part
from granite_mlx.biasing.prompting import TERMS_PER_PROMPT
from granite_mlx.biasing.reporting import report_keywords
from granite_mlx.biasing.terms import Entry, read_keywords
from granite_mlx.cancelling import CancelToken
from granite_mlx.decoding.languages import spoken_language, translation_pair
from granite_mlx.decoding.prompts import Task, tags_for
from granite_mlx.decoding.sampling import Sampler
from granite_mlx.decoding.speculative import Speculative
from granite_mlx.decoding.word_times import WordTimes, checked_word_times
from granite_mlx.options import Channels
from granite_mlx.ranges import Stretch
from granite_mlx.segments.limits import SegmentLimits
from granite_mlx.transcript import Segment, Transcript, TranscriptWarning

SHORTEST_AUDIO_S = 0.04
"""Less than two encoder frames holds no word."""

SILENCE_PEAK = 1 / 32768
"""A recording in which no sample exceeds the smallest step of 16 bits is silent."""


@dataclass(frozen=True)
class Request:
    """One recording and what is wanted of it, checked.

    Attributes:
        stretches: what is asked of each part, from the recording's beginning on.
        new_sampler: makes a sampler for a segment, so that each samples what it would alone.
        limits: of its segments, with which everything that is asked fits the model's context.
        align: whether it is asked when each word is said.
        guarded: whether the guard looks at the answers.
        keywords_per_prompt: of longer lists, each segment's prompt holds a choice.
        keyword_boost: the bonus, in nats, of each token of a term that may be said.
    """

    audio: AudioSource
    sample_rate: int | None
    part: Part
    stretches: tuple[Stretch, ...]
    new_sampler: Callable[[], Sampler]
    max_new_tokens: int | None
    speculative: Speculative
    limits: SegmentLimits
    channels: Channels = "mixed"
    cancel: CancelToken = field(default_factory=CancelToken)
    on_progress: Callable[[float], None] | None = None
    align: bool = False
    guarded: bool = True
    keywords_per_prompt: int = TERMS_PER_PROMPT
    keyword_boost: float = 0.0

    @property
    def keywords(self) -> tuple[str, ...]:
        """All that were given, wherever they are asked for."""
        given = (term for one in self.stretches for term in one.task.keywords)
        return tuple(dict.fromkeys(given))

    def tasks(self, duration_s: float) -> list[Task]:
        """What was asked of a recording of which this much was heard; of none, what would be."""
        begins_s, ends_s = self.part.start_s, self.part.start_s + duration_s
        following_s = [*(one.start_s for one in self.stretches[1:]), math.inf]
        inside = [
            one.task
            for one, until_s in zip(self.stretches, following_s, strict=True)
            if min(until_s, ends_s) - max(one.start_s, begins_s) >= SHORTEST_AUDIO_S
        ]
        return inside or [one.task for one in self.stretches]


class Progress:
    """Tells a caller how far the work is: the fraction never goes back.

    `raised` is what the caller's function raised, which ends the work and is nobody's failure.
    """

    def __init__(self, on_progress: Callable[[float], None] | None) -> None:
        self.fraction = 0.0
        self.raised: BaseException | None = None
        self._on_progress = on_progress

    def report(self, fraction: float) -> None:
        """Of the whole recording, what is done; that all is done is told once."""
        if self.fraction >= 1:
            return
        self.fraction = max(self.fraction, fraction)
        if self._on_progress is None:
            return
        try:
            self._on_progress(self.fraction)
        except BaseException as error:
            self.raised = error
            raise


class SharedProgress:
    """Makes one fraction of those of several recordings."""

    def __init__(self, n_recordings: int, on_progress: Callable[[float], None] | None) -> None:
        self._fractions = [0.0] * n_recordings
        self._on_progress = on_progress

    def of(self, recording: int) -> Callable[[float], None]:
        """What one recording reports to."""

        def report(fraction: float) -> None:
            self._fractions[recording] = fraction
            if self._on_progress is not None:
                self._on_progress(sum(self._fractions) / len(self._fractions))

        return report


def transcription(
    keywords: Iterable[Entry] | Path | None,
    language: str | None,
    punctuate: bool,
    speakers: bool,
    word_times: WordTimes,
) -> Task:
    """What to ask for a transcript, checked."""
    spoken = None if language is None else spoken_language(language)
    tags = tags_for(speakers, checked_word_times(word_times))
    given = read_keywords(keywords)
    return Task(None, spoken, punctuate, given.terms, tags, given.sounds_like)


def translation(
    to: str, language: str | None, punctuate: bool, keywords: Iterable[Entry] | Path | None
) -> Task:
    """What to ask for a translation, checked."""
    spoken, target = translation_pair(language, to)
    given = read_keywords(keywords)
    return Task(target, spoken, punctuate, given.terms, sounds_like=given.sounds_like)


def silence(samples: np.ndarray) -> TranscriptWarning | None:
    """A warning when there is nothing to hear, so that no model is asked to invent it."""
    if len(samples) < SHORTEST_AUDIO_S * SAMPLE_RATE:
        milliseconds = math.ceil(1000 * len(samples) / SAMPLE_RATE)
        return TranscriptWarning(
            "too_short", f"{milliseconds} ms of audio are too short to hold a word.", None, None
        )
    if abs(samples).max() <= SILENCE_PEAK:
        return TranscriptWarning("silence", "the recording is silent.", None, None)
    return None


def transcript_of(
    request: Request,
    model_id: str,
    duration_s: float,
    segments: tuple[Segment, ...] | None,
    warnings: Iterable[TranscriptWarning],
    offered: Container[str],
) -> Transcript:
    """What the caller gets; `segments` is None where there was nothing to ask the model.

    `offered` are the keywords that some prompt held.
    """
    tasks = request.tasks(duration_s)
    text = None if segments is None else "\n".join(segment.text for segment in segments)
    words = [word for segment in segments or () for word in segment.words]
    return Transcript(
        segments=segments or (),
        language=_common(task.spoken for task in tasks),
        target_language=_common(task.to for task in tasks),
        task="translate" if all(task.to is not None for task in tasks) else "transcribe",
        duration_s=duration_s,
        model=model_id,
        warnings=tuple(warnings),
        keywords=report_keywords(request.keywords, text, words, offered),
    )


def _common(languages: Iterable[str | None]) -> str | None:
    """The language of all parts, if it is one."""
    found = set(languages)
    return found.pop() if len(found) == 1 else None
