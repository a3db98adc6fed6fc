"""What is done about an answer that goes round in circles (docs/guard.md).

It is asked again, first without drafts, then sampled at a low temperature. Where that is of no use
either, the text is what the character head has heard; where the head has no letters for it, the
text ends where it began to repeat itself.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

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
    """Of one recording: the labels that the character head has heard in it, and what is asked."""

    labels: Sequence[int]
    task: Task
    tokenizer: SpeechTokenizer

    def watched(self, question: Question) -> Question:
        """The same question, whose answer is stopped where it loops, and what is asked after it."""
        # What came of a bonus is not tried with it again.
        plain = replace(question, draft=NoDraft(), first_rule=None, boost=None, said=self.n_said)
        sampler = question.sampler
        if sampler is greedy:
            sampler = make_sampler(TEMPERATURE, TOP_P, SEED)
        again = replace(plain, sampler=sampler, way="sampled")
        if not isinstance(question.draft, NoDraft) or question.boost is not None:
            again = replace(plain, way="without_drafts", otherwise=again)
        return replace(question, said=self.n_said, otherwise=again)

    def n_said(self, ids: Sequence[int]) -> int | None:
        """How often a phrase of tokens was said; None where its letters tell nothing.

        A translation sounds otherwise than it is written, and how a digit sounds is not known.
        """
        own = letters(_TAG.sub("", self.tokenizer.decode(ids)))
        if self.task.to is not None or not own.isalpha() or not is_spelt(own):
            return None
        return n_times(own, letters(spelt(self.labels)))

    def settled(self, answer: Generated, budget: int) -> Generated:
        """What stands after the last try: the answer, or what the head has heard in its place."""
        if not answer.looped or self.task.to is not None or not knows_letters(self.labels):
            return answer
        if not is_spelt(self.tokenizer.decode(answer.ids)):
            return answer
        ids = self.tokenizer.encode(spelt(self.labels))
        return Generated(tuple(ids[:budget]), len(ids) <= budget, way="heard")
