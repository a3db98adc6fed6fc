"""What is done about an answer that goes round in circles or astray (docs/guard.md).

In circles: it is asked again, first without drafts, or without keywords where there are any, then
sampled at a low temperature. Where that is of no use either, the text is what the character head
has heard; where the head has no letters for it, the text ends where it began to repeat itself.

Astray, where a list of keywords may be the cause: it is asked again with those of them alone that
it had and that were heard, mostly none. The one stands that is more like what was heard.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from granite_mlx.biasing.astray import LEAST_BETTER, may_be_astray, n_unlike
from granite_mlx.biasing.echoes import said_terms
from granite_mlx.ctc.greedy import knows_letters, spelt
from granite_mlx.ctc.repeats import n_times
from granite_mlx.ctc.witness import letters
from granite_mlx.decoding.batch import Question
from granite_mlx.decoding.drafts import NoDraft
from granite_mlx.decoding.generate import Generated
from granite_mlx.decoding.guard import is_spelt
from granite_mlx.decoding.prompts import Task
from granite_mlx.decoding.sampling import greedy, make_sampler
from granite_mlx.decoding.tokenizer import SpeechTokenizer

TEMPERATURE, TOP_P, SEED = 0.4, 0.95, 0
"""High enough to leave a loop, low enough to stay with what is said; the same text each time."""

_TAG = re.compile(r"\[[^\]]*\]:?")


@dataclass(frozen=True)
class LoopGuard:
    """Of one recording: the labels that the character head has heard in it, and what is asked.

    `keywords` are the terms that the decoder is led to.
    """

    labels: Sequence[int]
    task: Task
    tokenizer: SpeechTokenizer
    keywords: tuple[str, ...] = ()

    def watched(
        self, question: Question, plainly: Callable[[Sequence[str]], Question] | None = None
    ) -> Question:
        """The same question, whose answer is stopped where it loops, and what is asked after it.

        `plainly` makes the question with so many keywords alone, where it has some.
        """
        watched = replace(question, said=self.n_said)
        if plainly is not None:
            return replace(
                watched,
                otherwise=lambda: self._without_keywords(plainly(())),
                instead=lambda ids: (
                    self._without_keywords(plainly(self.said(ids)))
                    if self.may_be_astray(ids)
                    else None
                ),
            )
        again = _sampled(watched)
        if not isinstance(question.draft, NoDraft):
            undrafted = replace(_undrafted(watched), way="without_drafts", otherwise=lambda: again)
            return replace(watched, otherwise=lambda: undrafted)
        return replace(watched, otherwise=lambda: again)

    def _without_keywords(self, plain: Question) -> Question:
        watched = replace(plain, way="without_keywords", said=self.n_said)
        return replace(watched, otherwise=lambda: _sampled(watched))

    def may_be_astray(self, ids: Sequence[int]) -> bool:
        """Whether the keywords may have led an answer astray."""
        if self.task.to is not None or self.task.tags or not knows_letters(self.labels):
            return False
        return may_be_astray(self.tokenizer.decode(ids), spelt(self.labels), self.keywords)

    def n_said(self, ids: Sequence[int]) -> int | None:
        """How often a phrase of tokens was said; None where its letters tell nothing.

        A translation sounds otherwise than it is written, and how a digit sounds is not known.
        """
        own = letters(_TAG.sub("", self.tokenizer.decode(ids)))
        if self.task.to is not None or not own.isalpha() or not is_spelt(own):
            return None
        return n_times(own, letters(spelt(self.labels)))

    def said(self, ids: Sequence[int]) -> tuple[str, ...]:
        """The keywords of an answer that were heard."""
        text, heard = self.tokenizer.decode(ids), spelt(self.labels)
        return said_terms(text, heard, self.keywords, self.task.sounds_like)

    def settled(self, answer: Generated, budget: int) -> Generated:
        """What stands after the last try: an answer, or what the head has heard in its place."""
        if answer.before is not None:
            return answer if self._is_better(answer, answer.before) else answer.before
        if not answer.looped or self.task.to is not None or not knows_letters(self.labels):
            return answer
        if not is_spelt(self.tokenizer.decode(answer.ids)):
            return answer
        ids = self.tokenizer.encode(spelt(self.labels))
        return Generated(tuple(ids[:budget]), len(ids) <= budget, way="heard")

    def _is_better(self, plain: Generated, before: Generated) -> bool:
        """Whether an answer without keywords is more like what was heard than one with them."""
        if plain.looped:
            return False
        heard = spelt(self.labels)
        now, then = (
            n_unlike(self.tokenizer.decode(one.ids), heard, self.keywords)
            for one in (plain, before)
        )
        return now + LEAST_BETTER <= then


def _undrafted(question: Question) -> Question:
    return replace(question, draft=NoDraft(), first_rule=None)


def _sampled(question: Question) -> Question:
    """The same, sampled as it was asked for, or at a low temperature."""
    sampler = question.sampler
    if sampler is greedy:
        sampler = make_sampler(TEMPERATURE, TOP_P, SEED)
    return replace(_undrafted(question), sampler=sampler, way="sampled")
