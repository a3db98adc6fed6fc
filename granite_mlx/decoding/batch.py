"""Embedded prompts to token ids: many rows at once, drafts verified, rows leaving and joining.

Every row gets what it would get alone, and of a draft only what the decoder itself would have
written, unless the row has another rule for its first one. A row that goes round in circles leaves,
and joins again where something else is to be asked then. Whose rows they are, this module does not
know: `answers` takes a list of questions, `running.py` those of many callers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import islice

import mlx.core as mx
import numpy as np

from granite_mlx.decoding.boost import TermBoost, boosted
from granite_mlx.decoding.drafts import Draft, NoDraft
from granite_mlx.decoding.generate import (
    Generated,
    Way,
    read_tokens,
    scored_step,
    step,
    token_log_probs,
)
from granite_mlx.decoding.loops import LoopWatch, Said
from granite_mlx.decoding.pace import FIRST_DRAFT, LONGEST_DRAFT, Pace
from granite_mlx.decoding.sampling import Sampler, greedy
from granite_mlx.decoding.verification import Rule, n_accepted, n_equal
from granite_mlx.model.config import TextConfig
from granite_mlx.model.decoder import GraniteDecoder
from granite_mlx.model.row_cache import RowCache

STRETCH = 16
"""Plain steps in a row: the next one is computed while the last one is read."""


@dataclass(frozen=True)
class Question:
    """What one row begins with, and how it is answered.

    Attributes:
        prompt: (n, H) embeddings.
        budget: the most tokens of the answer.
        draft: what is thought to come; only with the greedy sampler.
        first_draft: tokens of it that are verified together with the prompt.
        first_rule: what is acceptable of those; None is what the decoder would have written.
        sampler: chooses the row's tokens from logits (1, vocab).
        boost: what is added to the logits before; None is nothing. Log-probabilities are without.
        on_tokens: called with the number of tokens so far; what it raises ends all rows.
        is_wanted: whether somebody still waits for the answer, which ends where it is otherwise.
        with_log_probs: whether the answer has the log-probabilities of its tokens.
        said: how often a phrase may be repeated; None lets an answer go round in circles.
        otherwise: makes what is asked in place of an answer that does.
        instead: what is asked to see whether it does better than these tokens, an answer that has
            ended; None where that stands.
        way: how its answer comes about.
    """

    prompt: mx.array
    budget: int
    draft: Draft = field(default_factory=NoDraft)
    first_draft: int = FIRST_DRAFT
    first_rule: Rule | None = None
    sampler: Sampler = greedy
    boost: TermBoost | None = None
    on_tokens: Callable[[int], None] = lambda n_tokens: None
    is_wanted: Callable[[], bool] = lambda: True
    with_log_probs: bool = False
    said: Said | None = None
    otherwise: Callable[[], Question] | None = None
    instead: Callable[[Sequence[int]], Question | None] = lambda ids: None
    way: Way = "asked"

    @property
    def n_positions(self) -> int:
        """Of the cache, with what a longer draft of another row fills up."""
        return len(self.prompt) + self.budget + LONGEST_DRAFT


def answer(decoder: GraniteDecoder, config: TextConfig, question: Question) -> Generated:
    """The answer to one question."""
    ((_, generated),) = answers(decoder, config, [question], 1)
    return generated


def answers(
    decoder: GraniteDecoder, config: TextConfig, questions: Iterable[Question], n_rows: int
) -> Iterator[tuple[int, Generated]]:
    """Answer questions, up to `n_rows` at a time, each with its number as soon as it is done.

    A question is taken from the iterable when there is room for its row.
    """
    waiting = enumerate(questions)
    rows = Rows(decoder, config, n_rows)
    again: list[Row] = []  # never more than have left
    while True:
        new = [Row(number, one) for number, one in islice(waiting, rows.n_free - len(again))]
        rows.join(again + new)
        if not rows.rows:
            return
        rows.step()
        again = []
        for row in rows.leave():
            following = row.following
            if following is not None:
                again.append(following)
            else:
                yield row.number, row.generated


class Row:
    """One row's answer so far; `number` is whatever tells its owner which one it is."""

    def __init__(self, number: int, question: Question, before: Generated | None = None) -> None:
        self.number, self.question, self.before = number, question, before
        self.ids: list[int] = []
        self.log_probs: list[float] | None = [] if question.with_log_probs else None
        self.finished = False
        self.pace = Pace()
        self.watch = None if question.said is None else LoopWatch(question.said)

    @property
    def n_left(self) -> int:
        """Tokens that may still come."""
        return self.question.budget - len(self.ids)

    @property
    def has_looped(self) -> bool:
        """Whether it went round in circles."""
        return self.watch is not None and self.watch.n_kept is not None

    @property
    def is_done(self) -> bool:
        """Whether nothing more comes."""
        ended = self.finished or self.n_left == 0 or self.has_looped
        return ended or not self.question.is_wanted()

    @property
    def following(self) -> Row | None:
        """What is asked in place of an answer, or beside it."""
        question = self.question
        if not question.is_wanted():
            return None
        if self.has_looped:
            otherwise = question.otherwise
            return None if otherwise is None else Row(self.number, otherwise(), self.before)
        instead = question.instead(self.ids) if self.finished else None
        return None if instead is None else Row(self.number, instead, self.generated)

    def propose(self, n_most: int) -> list[int]:
        """The draft, not longer than the budget: the decoder adds one token of its own."""
        n_most = min(n_most, self.n_left - 1)
        return self.question.draft.propose(self.ids, n_most) if n_most > 0 else []

    @property
    def generated(self) -> Generated:
        """The answer."""
        n_kept = self.watch.n_kept if self.watch is not None else None  # None is all of them
        log_probs = None if self.log_probs is None else tuple(self.log_probs[:n_kept])
        ids, way = tuple(self.ids[:n_kept]), self.question.way
        return Generated(ids, self.finished, log_probs, self.has_looped, way, self.before)

    def emit(self, tokens: Sequence[int], log_probs: Sequence[float], end_token_id: int) -> None:
        """Take tokens up to the end token, with their log-probabilities if they are wanted."""
        n_before = len(self.ids)
        for token in tokens:
            if self.is_done:
                break
            if token == end_token_id:
                self.finished = True
            else:
                self._append(token)
        if self.log_probs is not None:
            self.log_probs += log_probs[: len(self.ids) - n_before]
        self.question.on_tokens(len(self.ids))

    def _append(self, token: int) -> None:
        self.ids.append(token)
        if self.watch is not None:
            self.watch.grown(self.ids)
            if self.n_left == 0:
                self.watch.ran_out(self.ids)


class Rows:
    """The rows that are at work, and the cache that holds them in the same order.

    There may be `n_slots` of them, which can be changed between two calls.
    """

    def __init__(self, decoder: GraniteDecoder, config: TextConfig, n_slots: int) -> None:
        self.rows: list[Row] = []
        self.n_slots = n_slots
        self._decoder, self._config = decoder, config
        self._cache: RowCache | None = None

    @property
    def n_free(self) -> int:
        """Rows for which there is room."""
        return max(0, self.n_slots - len(self.rows))

    def join(self, rows: Sequence[Row]) -> None:
        """Read the prompts of new rows, and verify their first drafts with them."""
        if not rows:
            return
        n_positions = max(row.question.n_positions for row in rows)
        drafts = [row.propose(row.question.first_draft) for row in rows]
        prompts = [row.question.prompt for row in rows]
        dtype = prompts[0].dtype
        if self._cache is None:
            self._cache = RowCache(self._config, dtype, self.n_slots, n_positions)
        self._cache.grow(n_positions)
        self._cache.widen(len(self.rows) + len(rows))
        # Only rows that begin together can be fed together: those at work would be fed filling.
        cache = self._cache
        if self.rows:
            cache = RowCache(self._config, dtype, len(rows), n_positions)
        cache.add(len(rows))
        fed = [
            mx.concatenate([prompt, self._decoder.embed(mx.array(draft))]) if draft else prompt
            for prompt, draft in zip(prompts, drafts, strict=True)
        ]
        logits = self._feed(cache, fed, [1 + len(draft) for draft in drafts])
        self._judge(cache, rows, drafts, logits, [len(prompt) for prompt in prompts], first=True)
        if cache is not self._cache:
            self._cache.take(cache)
        self.rows += rows

    def step(self) -> None:
        """Every row gets at least one token, unless one of them is done."""
        if not self.rows or any(row.is_done for row in self.rows):
            return
        lengths = [row.pace.length(len(self.rows)) for row in self.rows]
        drafts = [row.propose(n) if n else [] for row, n in zip(self.rows, lengths, strict=True)]
        if any(drafts):
            self._verify(drafts)
        else:
            n_steps = min(min(row.n_left, row.pace.wait or STRETCH) for row in self.rows)
            # What is added to the next logits depends on this step's tokens.
            has_boost = any(row.question.boost is not None for row in self.rows)
            self._go_on(1 if has_boost else n_steps)

    def leave(self) -> Iterator[Row]:
        """Rows that are done make room for others."""
        if self._cache is None:
            return
        for place in reversed(range(len(self.rows))):
            row = self.rows[place]
            if row.is_done:
                self._cache.remove(place)
                self.rows[place] = self.rows[-1]
                self.rows.pop()
                yield row

    def _verify(self, drafts: Sequence[Sequence[int]]) -> None:
        """Feed each row its last token and its draft."""
        assert self._cache is not None
        ids = [[row.ids[-1], *draft] for row, draft in zip(self.rows, drafts, strict=True)]
        before = [length + 1 for length in self._cache.lengths]
        longest = max(map(len, ids))
        filled = mx.array([one + [0] * (longest - len(one)) for one in ids])
        logits = self._read(self._cache, self._decoder.embed(filled), [*map(len, ids)], longest)
        self._judge(self._cache, self.rows, drafts, logits, before, first=False)

    def _go_on(self, n_steps: int) -> None:
        """Plain steps without drafts, until one of the rows has ended."""
        assert self._cache is not None
        tokens, log_probs = self._next(mx.array([row.ids[-1] for row in self.rows]))
        n_issued = 1
        while True:
            following = None
            if n_issued < n_steps and not any(row.is_done for row in self.rows):
                following = self._next(tokens)  # computed while the last ones are read
                n_issued += 1
            thought = _read_log_probs(log_probs, len(self.rows))
            for row, token, one in zip(self.rows, read_tokens(tokens), thought, strict=True):
                row.emit([token], one, self._config.eos_token_id)
                row.pace.emitted(1)
            if following is None:
                return
            tokens, log_probs = following

    def _next(self, tokens: mx.array) -> tuple[mx.array, mx.array | None]:
        """Feed a token of each row (B,); the next ones (B,), with log-probabilities if wanted."""
        assert self._cache is not None
        choose = partial(_chosen, self.rows)
        fed = self._decoder.embed(tokens[:, None])
        if any(row.question.with_log_probs for row in self.rows):
            return scored_step(self._decoder, self._cache, choose, fed)
        return step(self._decoder, self._cache, choose, fed), None

    def _feed(self, cache: RowCache, rows: Sequence[mx.array], n_read: Sequence[int]) -> mx.array:
        """Feed embeddings (n_i, H); the logits of the last `n_read` of each: (B, most, vocab)."""
        longest = max(map(len, rows))
        block = mx.stack([mx.pad(row, [(0, longest - len(row)), (0, 0)]) for row in rows])
        return self._read(cache, block, [*map(len, rows)], max(n_read), n_read)

    def _read(
        self,
        cache: RowCache,
        block: mx.array,
        lengths: Sequence[int],
        most: int,
        n_read: Sequence[int] | None = None,
    ) -> mx.array:
        """Likewise of a block (B, n, H) that is filled up on the right."""
        hidden = self._decoder(block, cache)
        n_read = lengths if n_read is None else n_read
        # Behind a row's own places its last one is read again; nobody looks at that.
        places = [
            [min(length - n + place, length - 1) for place in range(most)]
            for length, n in zip(lengths, n_read, strict=True)
        ]
        rows = mx.arange(len(places))[:, None]
        return self._decoder.logits(hidden[rows, mx.array(places)])

    def _judge(
        self,
        cache: RowCache,
        rows: Sequence[Row],
        drafts: Sequence[Sequence[int]],
        logits: mx.array,
        before: Sequence[int],
        first: bool,
    ) -> None:
        """Keep what is right of each draft, and the decoder's own token behind it.

        Args:
            logits: (B, most, vocab), beginning where each draft's first token is chosen.
            before: tokens of each row in front of its draft.
        """
        plain, logits = logits, _boosted(rows, logits, drafts)
        best: list[list[int]] = np.array(mx.argmax(logits, axis=-1)).tolist()  # (B, most)
        kept = []
        for n, (row, draft) in enumerate(zip(rows, drafts, strict=True)):
            rule = row.question.first_rule if first else None
            if not draft:
                n_right = 0
            elif rule is None:
                n_right = n_equal(draft, best[n])
            else:
                acceptable = rule(logits[n, : len(draft)], mx.array(list(draft)))
                n_right = n_accepted(np.array(acceptable).tolist())
            sampler, own = row.question.sampler, best[n][n_right]
            if sampler is not greedy:
                (own,) = read_tokens(sampler(logits[n, n_right][None]))
            tokens, log_probs = [*draft[:n_right], own], []
            if row.question.with_log_probs:
                scores = token_log_probs(plain[n, : n_right + 1], mx.array(tokens))
                log_probs = np.array(scores).tolist()
            row.emit(tokens, log_probs, self._config.eos_token_id)
            if draft:
                row.pace.verified(len(draft), n_right)
            else:
                row.pace.emitted(1)
            kept.append(before[n] + n_right)
        cache.keep(kept)


def _read_log_probs(log_probs: mx.array | None, n_rows: int) -> list[list[float]]:
    """One for each row, or none."""
    if log_probs is None:
        return [[] for _ in range(n_rows)]
    return [[one] for one in np.array(log_probs).tolist()]


def _chosen(rows: Sequence[Row], logits: mx.array) -> mx.array:
    """(B, vocab) -> (B,), as each row's question has it."""
    logits = _boosted(rows, logits[:, None], [[] for _ in rows])[:, 0]
    samplers = [row.question.sampler for row in rows]
    if all(sampler is greedy for sampler in samplers):
        return greedy(logits)
    return mx.concatenate([sampler(logits[n : n + 1]) for n, sampler in enumerate(samplers)])


def _boosted(rows: Sequence[Row], logits: mx.array, drafts: Sequence[Sequence[int]]) -> mx.array:
    """(B, n, vocab) behind the rows' tokens and each token of their drafts, with bonuses."""
    boosts = [row.question.boost for row in rows]
    if all(boost is None for boost in boosts):
        return logits
    return boosted(logits, boosts, [row.ids for row in rows], drafts)
