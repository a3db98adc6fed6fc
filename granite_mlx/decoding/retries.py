"""What is done about an answer that goes round in circles (docs/guard.md).

It is asked again, first without drafts, then sampled at a low temperature. Where that is of no use
either, the text is what the character head has heard; where the head has no letters for it, the
text ends where it began to repeat itself.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from granite_mlx.ctc.greedy import N_CODE_POINTS, spelt
from granite_mlx.ctc.repeats import n_times
from granite_mlx.ctc.witness import letters
from granite_mlx.decoding.batch import Question
from granite_mlx.decoding.drafts import NoDraft
from granite_mlx.decoding.generate import Generated
from granite_mlx.decoding.guard import is_spelt
from granite_mlx.decoding.loops import Said
from granite_mlx.decoding.prompts import Task
from granite_mlx.decoding.sampling import greedy, make_sampler
from granite_mlx.decoding.tokenizer import SpeechTokenizer

TEMPERATURE, TOP_P, SEED = 0.4, 0.95, 0
"""High enough to leave a loop, low enough to stay with what is said; the same text each time."""

_TAG = re.compile(r"\[[^\]]*\]:?")


def watched(
    question: Question, labels: Sequence[int], task: Task, tokenizer: SpeechTokenizer
) -> Question:
    """The same question, whose answer is stopped where it loops, and what is asked after it.

    Args:
        labels: what the character head has heard. Where that is nothing, nothing is asked again.
    """
    said = said_by(labels, task, tokenizer)
    if not labels:
        return replace(question, said=said)
    plain = replace(question, draft=NoDraft(), first_rule=None, said=said)
    sampler = question.sampler
    if sampler is greedy:
        sampler = make_sampler(TEMPERATURE, TOP_P, SEED)
    sampled = replace(plain, sampler=sampler, way="sampled")
    if isinstance(question.draft, NoDraft):
        return replace(question, said=said, otherwise=sampled)
    undrafted = replace(plain, way="without_drafts", otherwise=sampled)
    return replace(question, said=said, otherwise=undrafted)


def said_by(labels: Sequence[int], task: Task, tokenizer: SpeechTokenizer) -> Said:
    """How often a phrase was said, by the labels that the head has heard."""
    heard = letters(spelt(labels))

    def said(ids: Sequence[int]) -> int | None:
        phrase = _TAG.sub("", tokenizer.decode(ids))
        own = letters(phrase)
        # How a digit sounds is not known; a translation sounds otherwise than it is written.
        if task.to is not None or not own or not is_spelt(own) or not own.isalpha():
            return None
        return n_times(own, heard)

    return said


def settled(
    answer: Generated,
    budget: int,
    labels: Sequence[int],
    task: Task,
    tokenizer: SpeechTokenizer,
) -> Generated:
    """What stands after the last try: the answer, or what the head has heard in its place."""
    if not answer.looped or task.to is not None or not _writes(labels):
        return answer
    if not is_spelt(tokenizer.decode(answer.ids)):
        return answer
    ids = tokenizer.encode(spelt(labels))
    return Generated(tuple(ids[:budget]), len(ids) <= budget, way="heard")


def _writes(labels: Sequence[int]) -> bool:
    """Whether most of what the head has heard are letters that are known."""
    return bool(labels) and 2 * sum(label < N_CODE_POINTS for label in labels) > len(labels)
