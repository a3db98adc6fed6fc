"""The words of a text with times and confidence: what is known of a recording put together.

Docs: docs/word-times.md.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import numpy as np

from granite_mlx.audio.files import SAMPLE_RATE
from granite_mlx.ctc.alignment import AlignedWord, align, log_softmax
from granite_mlx.ctc.borders import levels_db, word_spans
from granite_mlx.ctc.spelling import spell
from granite_mlx.transcript import Segment, Word
from granite_mlx.transcript.confidence import DECIMALS, confidence

Array: TypeAlias = np.ndarray[Any, np.dtype[Any]]


@dataclass(frozen=True)
class Evidence:
    """What the models thought of one word: log-probabilities, None where they are not known."""

    decoder: float | None
    head: float | None


def words_of(
    text: str,
    ctc_logits: Array,
    samples: Array,
    *,
    start_s: float = 0.0,
    word_log_probs: Sequence[float] | None = None,
) -> tuple[Word, ...]:
    """When each word of a text is said, and how probably it is right.

    Args:
        text: all that is said in the recording.
        ctc_logits: (T, n_classes) of the character head.
        samples: (n,) of the recording, at 16 kHz.
        start_s: where it begins; added to the times.
        word_log_probs: the decoder's, of each word between spaces, as `word_log_probs` of
            `decoding.token_words` gives them; another number of them than of words is of no use.

    Returns:
        The words, in order and apart, which joined by spaces are the text. None where the head
        cannot spell the text, or the recording is too short for it.
    """
    aligned = aligned_words(text, ctc_logits)
    duration_s = len(samples) / SAMPLE_RATE
    spans = word_spans(aligned, levels_db(samples, SAMPLE_RATE), duration_s)
    return tuple(
        Word(
            _milliseconds(start_s + first_s),
            min(_milliseconds(start_s + end_s), start_s + duration_s),
            word.text,
            confidence(known.decoder, known.head),
        )
        for word, (first_s, end_s), known in zip(
            aligned, spans, evidence(aligned, word_log_probs), strict=True
        )
    )


def _milliseconds(time_s: float) -> float:
    """As the transcript's file has it."""
    return round(time_s, 3)


def aligned_words(text: str, ctc_logits: Array) -> tuple[AlignedWord, ...]:
    """The words of a text in the frames of the head; none where it cannot be aligned."""
    spelled = spell(text, ctc_logits.shape[1])
    return (align(spelled, log_softmax(ctc_logits)) or ()) if spelled else ()


def evidence(
    aligned: Sequence[AlignedWord], word_log_probs: Sequence[float] | None
) -> list[Evidence]:
    """Of each word."""
    # A sign that stands alone is part of the word before it, and written by tokens of its own.
    n_written = [len(word.text.split()) for word in aligned]
    if word_log_probs is None or len(word_log_probs) != sum(n_written):
        decoder: list[float | None] = [None] * len(aligned)
    else:
        ends = np.cumsum(n_written)
        decoder = [
            float(sum(word_log_probs[end - n : end]))
            for end, n in zip(ends, n_written, strict=True)
        ]
    return [
        Evidence(one, None if word.log_probs is None else float(word.log_probs.mean()))
        for word, one in zip(aligned, decoder, strict=True)
    ]


def with_words(segments: Iterable[Segment], words: Sequence[Word]) -> tuple[Segment, ...]:
    """Segments with the words of all their texts, and the confidence of these.

    A segment whose words are known is as probably right as they are on average; a speaker's turn
    then lasts from its first word to its last.
    """
    segments = tuple(segments)
    written = [len(segment.text.split()) for segment in segments]
    if not words or sum(len(word.text.split()) for word in words) != sum(written):
        return segments
    waiting, result = list(words), []
    for segment, n_written in zip(segments, written, strict=True):
        own: list[Word] = []
        while waiting and sum(len(word.text.split()) for word in own) < n_written:
            own.append(waiting.pop(0))
        result.append(_with_own(segment, tuple(own)))
    return tuple(result)


def _with_own(segment: Segment, words: tuple[Word, ...]) -> Segment:
    if not words:
        return segment
    known = [word.confidence for word in words if word.confidence is not None]
    mean = round(sum(known) / len(known), DECIMALS) if known else None
    if segment.speaker is not None:
        segment = replace(segment, start_s=words[0].start_s, end_s=words[-1].end_s)
    return replace(segment, words=words, confidence=mean)
