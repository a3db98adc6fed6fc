"""Samples to the tokens of answers, on the MLX thread: the part of the path that MLX computes.

Recordings of similar length are encoded together; each gets what it would get alone. In what order
they are encoded and answered is the business of running.py.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

import mlx.core as mx
import numpy as np

from granite_mlx.audio.features import FeatureConfig, encoder_input
from granite_mlx.audio.files import SAMPLE_RATE
from granite_mlx.biasing.prompting import Choice, Choose
from granite_mlx.ctc.certainty import HeardLabels, heard_labels
from granite_mlx.ctc.greedy import greedy_text, spelt
from granite_mlx.ctc.hearing import Hearing, highest_entropy
from granite_mlx.ctc.second_head import SecondHead
from granite_mlx.decoding.batch import Question
from granite_mlx.decoding.boost import TermBoost
from granite_mlx.decoding.budget import answer_rate, token_budget
from granite_mlx.decoding.drafts import TextDraft
from granite_mlx.decoding.generate import Generated
from granite_mlx.decoding.prompts import Task
from granite_mlx.decoding.retries import LoopGuard
from granite_mlx.decoding.sampling import Sampler
from granite_mlx.decoding.speculative import Speculative
from granite_mlx.decoding.tokenizer import SpeechTokenizer
from granite_mlx.decoding.verification import likely
from granite_mlx.model.config import SpeechConfig
from granite_mlx.model.speech_model import SpeechModel
from granite_mlx.segments.activity import FRAMES_PER_S
from granite_mlx.segments.letters import Letters, letters_of

ENCODED = 0.3
"""Of the work on a recording, when its tokens begin."""


@dataclass(frozen=True)
class Asked:
    """Samples and what is asked about them.

    Attributes:
        task: with all keywords that were given.
        prompt: renders the conversation about a task.
        report: called with the part of this recording's work that is done.
        with_evidence: whether the answer tells what head and decoder thought of it.
        guarded: whether an answer that goes round in circles is asked again, and none is asked
            for where the head hears nothing.
        choose: which keywords the prompt holds and which ones the decoder is nudged to, from the
            head's logits; None takes all and nudges to none.
        is_wanted: whether somebody still waits for the answer.
    """

    samples: np.ndarray
    prompt: Callable[[Task], str]
    task: Task
    sampler: Sampler
    max_new_tokens: int | None
    speculative: Speculative
    report: Callable[[float], None]
    with_evidence: bool = False
    guarded: bool = True
    choose: Choose | None = None
    is_wanted: Callable[[], bool] = lambda: True


@dataclass(frozen=True, eq=False)
class Witness:
    """What the character head has heard: its greedy labels, and all that it thought of them.

    `ctc_logits` (T, n_classes) are float32; None where evidence was not asked for.
    """

    heard: HeardLabels
    ctc_logits: np.ndarray | None

    @property
    def labels(self) -> tuple[int, ...]:
        """The labels alone."""
        return self.heard.labels


@dataclass(frozen=True, eq=False)
class Heard:
    """What the encoder makes of a recording.

    Attributes:
        audio: (n_audio, H) audio tokens.
        hearing: what drafts are made of; None without drafts.
        task: what the decoder is asked, with the keywords of its prompt.
        boosts: keywords and their bonuses while it writes.
    """

    audio: mx.array
    hearing: Hearing | None
    witness: Witness
    task: Task
    boosts: tuple[tuple[str, float], ...]


@dataclass(frozen=True, eq=False)
class Prepared:
    """What the decoder is to be asked about a recording, or the text for which it need not be."""

    question: Question
    text: str | None
    witness: Witness
    task: Task
    boosted: tuple[str, ...]


@dataclass(frozen=True)
class Answered:
    """The tokens of an answer, of which there might have been `budget`.

    Where evidence was asked for they have log-probabilities, if the decoder has seen them. `task`
    has the keywords of the prompt, `boosted` are those that had a bonus.
    """

    generated: Generated
    budget: int
    witness: Witness = field(compare=False)
    task: Task
    boosted: tuple[str, ...] = ()


@dataclass(frozen=True)
class Recogniser:
    """The networks and what belongs to them. `checkpoint` is called between steps."""

    network: SpeechModel
    config: SpeechConfig
    features: FeatureConfig
    tokenizer: SpeechTokenizer
    second_head: SecondHead | None
    checkpoint: Callable[[], None]

    def prepared(self, askeds: Sequence[Asked]) -> list[Prepared]:
        """What is to be asked about each recording; they are encoded together."""
        prepared = []
        for asked, heard in zip(askeds, self._hear(askeds), strict=True):
            question, text = self._question(asked, heard)
            boosted = tuple(term for term, _ in heard.boosts)
            if asked.guarded:
                guard = self._loop_guard(heard.witness, heard.task, boosted)
                plainly = partial(self._plain_question, asked, heard) if guard.keywords else None
                question = guard.watched(question, plainly)
                # Where nothing is heard, the decoder can only make something up.
                text = text if heard.witness.labels else ""
            prepared.append(Prepared(question, text, heard.witness, heard.task, boosted))
        return prepared

    def settled(self, prepared: Prepared, generated: Generated | None) -> Answered:
        """The answer, from what the decoder has written, or None where it was not asked."""
        budget = prepared.question.budget
        if generated is None:
            ids = self.tokenizer.encode(prepared.text or "")[:budget]
            generated = Generated(tuple(ids), True)
        else:
            guard = self._loop_guard(prepared.witness, prepared.task, prepared.boosted)
            generated = guard.settled(generated, budget)
        return Answered(generated, budget, prepared.witness, prepared.task, prepared.boosted)

    def _loop_guard(self, witness: Witness, task: Task, boosted: tuple[str, ...]) -> LoopGuard:
        keywords = tuple(dict.fromkeys((*task.keywords, *boosted)))
        return LoopGuard(witness.labels, task, self.tokenizer, keywords)

    def _hear(self, askeds: Sequence[Asked]) -> Iterator[Heard]:
        """What the encoder makes of each recording."""
        # Samples to features (1, T, 160), features to frames (B, T, D).
        dtype = self.network.dtype
        features = [encoder_input(one.samples, self.features, dtype) for one in askeds]
        lengths = [one.shape[1] for one in features]
        longest = max(lengths)
        block = mx.concatenate(
            [mx.pad(f, [(0, 0), (0, longest - f.shape[1]), (0, 0)]) for f in features]
        )
        n_frames = mx.array(lengths) if min(lengths) < longest else None
        encoded = self.network.encoder(block, n_frames)
        mx.eval(encoded.frames)
        self.checkpoint()

        # Frames to audio tokens (B, n_audio, H).
        audio = self.network.projector(encoded.frames, n_frames)
        mx.eval(audio)
        self.checkpoint()
        for row, (asked, n) in enumerate(zip(askeds, lengths, strict=True)):
            asked.report(ENCODED)
            frames = encoded.frames[row, :n]
            logits = self.network.encoder.ctc_logits(frames)
            evidence = np.array(logits.astype(mx.float32)) if asked.with_evidence else None
            witness = Witness(heard_labels(logits), evidence)
            hearing = None
            if asked.speculative != "off":
                text = self._drafted(witness, frames, encoded.mid_logits[row, :n])
                # Only the relaxed way asks how sure the head is.
                is_relaxed = asked.speculative == "relaxed"
                hearing = Hearing(text, highest_entropy(logits) if is_relaxed else math.inf)
            n_audio = -(-n // self.config.window_size) * self.config.n_queries
            choice = self._chosen(asked, logits)
            task = replace(asked.task, keywords=choice.keywords)
            yield Heard(audio[row, :n_audio], hearing, witness, task, choice.boosts)

    def _chosen(self, asked: Asked, logits: mx.array) -> Choice:
        """The keywords of a recording, from (T, n_labels) logits of the head."""
        if asked.choose is None:
            return Choice(asked.task.keywords)
        choice = asked.choose(np.array(logits.astype(mx.float32)))
        self.checkpoint()
        return choice

    def _drafted(self, witness: Witness, frames: mx.array, mid_logits: mx.array) -> str:
        """What a draft begins with: the second head's text where there is one."""
        if self.second_head is None:
            return spelt(witness.labels)
        return self.tokenizer.decode(self.second_head.token_ids(frames, mid_logits)).strip()

    def spell(self, samples: np.ndarray) -> str:
        """What the character head hears in (n,) samples."""
        return greedy_text(self._ctc_logits(samples))

    def letters(self, samples: np.ndarray) -> Letters:
        """Likewise, and when."""
        logits = self._ctc_logits(samples)
        found = letters_of(logits, round(FRAMES_PER_S / self.features.frames_per_second))
        self.checkpoint()
        return found

    def _ctc_logits(self, samples: np.ndarray) -> mx.array:
        features = encoder_input(samples, self.features, self.network.dtype)
        return self.network.encoder.ctc_logits(self.network.encoder(features).frames)[0]

    def _plain_question(self, asked: Asked, heard: Heard, keywords: Sequence[str]) -> Question:
        """The question with these keywords alone."""
        task = replace(heard.task, keywords=tuple(keywords))
        return self._question(asked, replace(heard, task=task, boosts=()))[0]

    def _question(self, asked: Asked, heard: Heard) -> tuple[Question, str | None]:
        """What the decoder is asked, or the text that needs no decoder."""
        task, hearing, rendered = heard.task, heard.hearing, asked.prompt(heard.task)
        prompt = self.network.embed_prompt(*self.tokenizer.encode_prompt(rendered), heard.audio)
        duration_s = len(asked.samples) / SAMPLE_RATE
        rate = answer_rate(task)
        budget = token_budget(self.config, len(prompt), duration_s, asked.max_new_tokens, rate)

        n_most = 0

        def on_tokens(n_tokens: int) -> None:
            nonlocal n_most
            n_most = max(n_most, n_tokens)  # an answer that is asked again begins anew
            asked.report(ENCODED + (1 - ENCODED) * n_most / budget)

        boost = None
        if heard.boosts:
            boost = TermBoost(heard.boosts, self.tokenizer.encode, self.tokenizer.decode)
        asking = partial(
            Question, prompt, budget, boost=boost, on_tokens=on_tokens,
            is_wanted=asked.is_wanted, with_log_probs=asked.with_evidence,
        )  # fmt: skip
        if hearing is None:
            return asking(sampler=asked.sampler), None
        # Between a prompt that ends with "ASSISTANT:" and its answer there is a space.
        lead = "" if not hearing.text or rendered[-1:].isspace() else " "
        tokenizer, end = self.tokenizer, self.config.text.eos_token_id
        draft = TextDraft(lead + hearing.text, tokenizer.encode, tokenizer.decode, end)
        if asked.speculative == "exact":
            return asking(draft=draft), None
        # IBM's three steps: a text that the head is sure of stands; what the decoder finds likely
        # of another one, looked at as a whole, stands; behind that the decoder writes on.
        plain = not (task.punctuate or task.keywords or task.tags or boost)
        text = hearing.text if hearing.is_sure and plain else None
        return asking(draft=draft, first_draft=budget, first_rule=likely()), text
