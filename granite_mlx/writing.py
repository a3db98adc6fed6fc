"""Tokens to segments: text, the witness's word on it, word times, warnings.

The third step of `Listener.listen`, on the caller's thread: nothing here computes with MLX.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np

from granite_mlx.audio.files import SAMPLE_RATE
from granite_mlx.biasing.echoes import without_echoes
from granite_mlx.ctc.certainty import Certainty, certainties
from granite_mlx.ctc.greedy import knows_letters, spelt
from granite_mlx.decoding.answer import answer_warnings, read_answer
from granite_mlx.decoding.generate import Generated
from granite_mlx.decoding.guard import Guarded, guarded
from granite_mlx.decoding.prompts import Task
from granite_mlx.decoding.token_words import word_log_probs
from granite_mlx.decoding.tokenizer import SpeechTokenizer
from granite_mlx.model.family import Family
from granite_mlx.recognition import Answered
from granite_mlx.transcript import Segment, TranscriptWarning
from granite_mlx.words import with_words, words_of


def written(
    task: Task,
    samples: np.ndarray,
    span_s: tuple[float, float],
    answered: Answered,
    tokenizer: SpeechTokenizer,
    family: Family,
    guarded: bool,
) -> tuple[tuple[Segment, ...], list[TranscriptWarning]]:
    """The segments of (n,) samples that span `span_s`, from what the model answered.

    Also what there is to say about them. There are words where evidence was asked for.
    """
    answer, (start_s, end_s) = answered.generated, span_s
    segments = read_answer(tokenizer.decode(answer.ids).strip(), family, start_s, end_s)
    warnings = [*answer_warnings(answer, answered.budget, task, family, segments)]
    kept = None
    if guarded:
        heard = answered.witness.heard
        certainty = partial(certainties, heard, samples, SAMPLE_RATE)
        kept = before_witness(
            segments, heard.labels, task, answered.boosted, certainty, answer.finished
        )
    if kept is not None:
        is_whole = bool(segments) and segments[0].text == kept.text
        segments = (Segment(start_s, end_s, kept.text),) if kept.text else ()
        warnings += [TranscriptWarning(c.code, c.message, None, None) for c in kept.concerns]
    ctc_logits = answered.witness.ctc_logits
    if ctc_logits is not None and segments:
        log_probs = _word_log_probs(answer, tokenizer) if kept is None or is_whole else None
        said = " ".join(segment.text for segment in segments)
        words = words_of(said, ctc_logits, samples, start_s=start_s, word_log_probs=log_probs)
        segments = with_words(segments, words)
    return segments, warnings


def before_witness(
    segments: tuple[Segment, ...],
    labels: Sequence[int],
    task: Task,
    boosted: Sequence[str] = (),
    certainty: Callable[[], Sequence[Certainty]] | None = None,
    is_whole: bool = True,
) -> Guarded | None:
    """What stands of a text that is one segment or none, before the labels that the head has heard.

    The decoder was led to the keywords of the task and to those that are `boosted`; `is_whole` is
    whether it had ended.

    None where it is no witness: of turns of several speakers, of translations, and where it has
    no letters for what it hears.
    """
    if len(segments) > 1 or any(one.speaker is not None for one in segments):
        return None
    if task.tags or task.to is not None:
        return None
    if not knows_letters(labels):
        return None
    heard = spelt(labels)
    keywords = tuple(dict.fromkeys((*task.keywords, *boosted)))
    text = "".join(one.text for one in segments)
    kept = guarded(text, heard, keywords, certainty, is_whole)
    return without_echoes(kept, heard, keywords, task.sounds_like) if keywords else kept


def _word_log_probs(answer: Generated, tokenizer: SpeechTokenizer) -> list[float] | None:
    if answer.log_probs is None:
        return None
    return word_log_probs([tokenizer.decode([token]) for token in answer.ids], answer.log_probs)
