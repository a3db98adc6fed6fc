"""What was heard of the pieces of one recording -> its segments in order, and its transcript."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Protocol

from granite_mlx.audio.stream import SAMPLE_RATE
from granite_mlx.errors import AudioError, RecognitionError
from granite_mlx.reading import Spoken
from granite_mlx.request import Request, transcript_of
from granite_mlx.segments.joining import Seam, Span, join, join_by_times
from granite_mlx.transcript import Segment, Transcript, TranscriptWarning

Segments = tuple[Segment, ...]


class Source(Protocol):
    """What there is to know of where the pieces come from: a `Reading`, or what is live."""

    n_samples: int
    n_channels: int
    damage: AudioError | None

    @property
    def name(self) -> str: ...
    @property
    def fraction(self) -> float: ...
    @property
    def position(self) -> float: ...
    @property
    def quiet(self) -> TranscriptWarning | None: ...
    @property
    def out_of_phase(self) -> TranscriptWarning | None: ...


class Assembly:
    """Takes the segments of each piece, and gives those that are final."""

    def __init__(self, request: Request, reading: Source) -> None:
        self.warnings: list[TranscriptWarning] = []
        self.failures: list[Exception] = []
        self.offered: set[str] = set()  # keywords that were in a prompt
        self.n_heard = 0  # pieces of which the model has made something
        self._request, self._reading = request, reading
        tags = {one.task.tags for one in request.stretches}
        self._keeps_words = request.align or "word_times" in tags
        self._held: dict[int, tuple[Spoken, Segments]] = {}  # by channel: the next piece overlaps
        self._waiting: list[Segment] = []
        self._final: list[Segment] = []
        self._n_told = 0  # of the warnings

    def warn(self, warning: TranscriptWarning | None) -> None:
        """Something about the whole recording, if there is anything; once."""
        if warning is not None and warning not in self.warnings:
            self.warnings.append(warning)

    def offer(self, keywords: Iterable[str]) -> None:
        """What the prompt of a piece held."""
        self.offered.update(keywords)

    def take(
        self, spoken: Spoken, segments: Segments, warnings: Iterable[TranscriptWarning]
    ) -> None:
        """What was heard of the next piece of its channel."""
        self.n_heard += 1
        self._warn(spoken, warnings)
        self._place(spoken, self._labelled(spoken, segments))

    def miss(self, spoken: Spoken, error: Exception) -> None:
        """The piece failed; the others stand."""
        self.failures.append(error)
        message = f"this part failed and is missing: {type(error).__name__}: {error}"
        self.warnings.append(TranscriptWarning("segment_failed", message, *self.times_s(spoken)))
        self._place(spoken, ())

    @property
    def failure(self) -> RecognitionError | None:
        """What is to be said where the model has made nothing of any piece."""
        if self.n_heard or not self.failures:
            return None
        first = self.failures[0]
        error = RecognitionError(
            f"no part of {self._reading.name} could be transcribed: {type(first).__name__}: {first}"
        )
        error.__cause__ = first
        return error

    def times_s(self, spoken: Spoken) -> tuple[float, float]:
        """When a piece begins and ends, from the start of the recording."""
        return self._at_s(spoken.piece.start), self._at_s(spoken.piece.end)

    def is_alone(self, spoken: Spoken) -> bool:
        """Whether the piece is all that was read of the recording."""
        return len(spoken.piece.samples) == self._reading.n_samples

    def ready(self) -> list[Segment]:
        """The segments that are final and were not given before, in order."""
        until = min(
            [self._reading.position, *(held.piece.start for held, _ in self._held.values())]
        )
        if math.isinf(until) or self._reading.n_channels == 1:
            given, self._waiting = self._waiting, []
        else:
            until_s = self._at_s(int(until))
            given = [one for one in self._waiting if one.start_s < until_s]
            self._waiting = [one for one in self._waiting if one.start_s >= until_s]
        given.sort(key=lambda one: one.start_s)  # stable: turns of one piece stay in order
        self._final += given
        return given

    def finish(self) -> list[Segment]:
        """The last segments."""
        for channel in list(self._held):
            self._release(channel)
        return self.ready()

    def new_warnings(self) -> tuple[TranscriptWarning, ...]:
        """Those that were not told before."""
        new = tuple(self.warnings[self._n_told :])
        self._n_told = len(self.warnings)
        return new

    def conclude(self) -> None:
        """Warn of what concerns the whole recording, once everything was given."""
        reading, part = self._reading, self._request.part
        duration_s = reading.n_samples / SAMPLE_RATE
        self.warn(reading.out_of_phase)
        if reading.damage is not None:
            message = str(reading.damage)
            self.warn(TranscriptWarning("damaged", message, part.start_s + duration_s, None))
        elif part.end_s is None:
            for unused in _unused(self._request, duration_s):
                self.warn(unused)
        if not self._was_asked and reading.quiet is not None:
            self.warn(reading.quiet)
        elif not self._final and not self.failures:
            self.warn(TranscriptWarning("no_speech", "no speech was heard.", None, None))

    def transcript(self, model_id: str) -> Transcript:
        """All of it, once everything was given."""
        self.conclude()
        segments = tuple(self._final) if self._was_asked else None
        duration_s = self._reading.n_samples / SAMPLE_RATE
        return transcript_of(
            self._request, model_id, duration_s, segments, self.warnings, self.offered
        )

    @property
    def _was_asked(self) -> bool:
        """Whether there was anything to ask the model."""
        return self.n_heard > 0 or bool(self.failures)

    def _at_s(self, sample: int) -> float:
        return self._request.part.start_s + sample / SAMPLE_RATE

    def _warn(self, spoken: Spoken, warnings: Iterable[TranscriptWarning]) -> None:
        """What concerns the answer has its times; what concerns the model is said once."""
        known = {(one.code, one.message, one.start_s) for one in self.warnings}
        for one in warnings:
            if one.code not in MODEL_WIDE and not self.is_alone(spoken):
                start_s, end_s = self.times_s(spoken)
                one = replace(one, start_s=start_s, end_s=end_s)
            if (one.code, one.message, one.start_s) not in known:
                known.add((one.code, one.message, one.start_s))
                self.warnings.append(one)

    def _labelled(self, spoken: Spoken, segments: Segments) -> Segments:
        """With what was asked about the piece, and who speaks where that is known."""
        segments = tuple(
            replace(one, language=spoken.task.spoken, target_language=spoken.task.to)
            for one in segments
        )
        if self._request.channels != "separate":
            return segments
        label = f"channel {spoken.channel + 1}"
        return tuple(
            replace(one, speaker=f"{label}, {one.speaker}" if one.speaker else label)
            for one in segments
        )

    def _place(self, spoken: Spoken, segments: Segments) -> None:
        """Behind what was heard before on the channel, joined with it where the two overlap."""
        held = self._held.get(spoken.channel)
        seam = spoken.piece.seam
        if held is not None and seam is not None:
            left, segments = joined(held[1], segments, seam, self._at_s(seam.at))
            self._held[spoken.channel] = (held[0], left)
        self._release(spoken.channel)
        if spoken.piece.joined_on:
            self._held[spoken.channel] = (spoken, segments)
        else:
            self._settle(spoken, segments)

    def _release(self, channel: int) -> None:
        if channel in self._held:
            self._settle(*self._held.pop(channel))

    def _settle(self, spoken: Spoken, segments: Segments) -> Segments:
        """Nothing more changes these segments of a piece."""
        # Pieces that overlap have timed words in any case, since their seam needs them.
        settled = tuple(
            one if self._keeps_words else replace(one, words=(), confidence=None)
            for one in segments
        )
        self._waiting += settled
        return settled


def _unused(request: Request, duration_s: float) -> Iterator[TranscriptWarning]:
    """Ranges of a recording, read to its end, that begin behind it."""
    end_s = request.part.start_s + duration_s
    for one in request.stretches:
        if one.is_range and one.start_s >= end_s:
            message = (
                f"the range from {one.start_s:g} s on changes nothing: the recording ends at "
                f"{end_s:.1f} s."
            )
            yield TranscriptWarning("range_unused", message, None, None)


MODEL_WIDE = frozenset({"not_punctuated", "no_speakers", "no_word_times"})
"""Codes of warnings about what a model does not do, wherever it is asked."""


def joined(left: Segments, right: Segments, seam: Seam, at_s: float) -> tuple[Segments, Segments]:
    """The segments of two overlapping pieces without what both have; `at_s` is the seam's time."""
    spans, following_spans = _spans(left), _spans(right)
    if spans is None or following_spans is None:
        n_left, n_skipped = join(text_of(left), text_of(right), seam)
    else:
        n_left, n_skipped = join_by_times(spans, following_spans, at_s)
    kept = first_words(left, n_left)
    following = words_from(right, n_skipped)
    kept = _ended_before(kept, following)
    if kept:
        last = kept[-1]
        ends_s = [word.end_s for word in last.words[-1:]] or [max(at_s, last.start_s)]
        kept = (*kept[:-1], replace(last, end_s=min(last.end_s, *ends_s)))
    if following:
        first = following[0]
        starts_s = [word.start_s for word in first.words[:1]] or [min(at_s, first.end_s)]
        following = (replace(first, start_s=max(first.start_s, *starts_s)), *following[1:])
    return kept, following


def _ended_before(kept: Segments, following: Segments) -> Segments:
    """Where the last word goes on behind the beginning of the next one, it ends there."""
    words = [word for one in following[:1] for word in one.words[:1]]
    if not kept or not kept[-1].words or not words:
        return kept
    *before, last = kept[-1].words
    if not last.start_s < words[0].start_s < last.end_s:
        return kept
    ended = replace(last, end_s=words[0].start_s)
    return (*kept[:-1], replace(kept[-1], words=(*before, ended)))


def first_words(segments: Sequence[Segment], n_words: int) -> Segments:
    """The first words of segments, as spaces part them."""
    kept: list[Segment] = []
    for one in segments:
        n_own = len(one.text.split())
        if n_words >= n_own:
            kept.append(one)
        elif n_words > 0:
            kept.append(_part_of(one, 0, n_words))
        n_words -= n_own
    return tuple(kept)


def words_from(segments: Sequence[Segment], n_skipped: int) -> Segments:
    """The words behind the first ones."""
    kept: list[Segment] = []
    for one in segments:
        n_own = len(one.text.split())
        if n_skipped <= 0:
            kept.append(one)
        elif n_skipped < n_own:
            kept.append(_part_of(one, n_skipped, n_own))
        n_skipped -= n_own
    return tuple(kept)


def _part_of(segment: Segment, first: int, last: int) -> Segment:
    """The words [first, last) of a segment; its timed ones may stand for several."""
    words, place = [], 0
    for word in segment.words:
        if first <= place < last:
            words.append(word)
        place += len(word.text.split())
    text = " ".join(segment.text.split()[first:last])
    return replace(segment, text=text, words=tuple(words))


def _spans(segments: Sequence[Segment]) -> list[Span] | None:
    """When each word between spaces is said; None where that is not known of all."""
    words = [word for one in segments for word in one.words]
    if [word.text for word in words] != text_of(segments).split():
        return None
    return [(word.start_s, word.end_s) for word in words]


def text_of(segments: Sequence[Segment]) -> str:
    """What segments say, as one text."""
    return " ".join(one.text for one in segments)
