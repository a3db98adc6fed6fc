"""Batches of the corpus: noisy features, questions as token rows, and the two CTC targets."""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from tokenizers import Tokenizer
from torch import Tensor

from demo import features, speech, tasks, tokens
from demo.corpus import NamePools, Utterance
from demo.guide import Pair, listed

PAD_TO_SAMPLES = 4800  # 0.3 s, so that few shapes occur
MADE_UP_SHARE = 0.4  # of the made-up names in an epoch: no test has any, they teach copying


@dataclass(frozen=True)
class Corpus:
    """Utterances of one set and their samples, memory-mapped."""

    utterances: list[Utterance]
    samples: np.ndarray

    @staticmethod
    def open(path: Path) -> "Corpus":
        lines = path.with_suffix(".jsonl").read_text().splitlines()
        utterances = [Utterance(**json.loads(line)) for line in lines]
        for u in utterances:
            u.names[:] = [(a, b) for a, b in u.names]
        return Corpus(utterances, np.memmap(path.with_suffix(".i16"), dtype="<i2", mode="r"))

    def audio(self, u: Utterance) -> np.ndarray:
        """float32 samples of an utterance."""
        return self.samples[u.start : u.start + u.n_samples].astype(np.float32) / 32767


@dataclass(frozen=True)
class Rows:
    """Questions as tokens. `prompt` follows the audio; `answer` ends with EOS."""

    prompts: list[list[int]]
    answers: list[list[int]]
    heard: list[list[int]]  # tokens of what the audio says
    letters: list[list[int]]  # its code points, in lower case
    listed: list[list[Pair]]  # answer tokens that the prompt's keyword list has, and where

    def take(self, indices: Iterable[int]) -> "Rows":
        """These rows, in this order."""
        chosen = list(indices)
        columns = (self.prompts, self.answers, self.heard, self.letters, self.listed)
        return Rows(*([column[i] for i in chosen] for column in columns))


@dataclass(frozen=True)
class Batch:
    features: Tensor  # (B, T, 160)
    rows: Rows  # B rows, or B about one thing after B about another
    is_joined: bool = False


def rows(questions: list[tasks.Question], tokenizer: Tokenizer) -> Rows:
    eos = tokenizer.token_to_id(tokens.EOS)

    def ids(text: str) -> list[int]:
        return tokenizer.encode(text, add_special_tokens=False).ids

    prompts = [ids(q.instruction + tokens.SUFFIX) for q in questions]
    answers = [(ids(" " + q.answer) if q.answer else []) + [eos] for q in questions]
    return Rows(
        prompts,
        answers,
        [ids(" " + q.heard) if q.heard else [] for q in questions],
        [
            [ord(c) for c in (q.heard if q.letters is None else q.letters).lower()]
            for q in questions
        ],
        [
            listed(p, a, [ids(f" {term}") for term in q.terms])
            for p, a, q in zip(prompts, answers, questions, strict=True)
        ],
    )


@dataclass(frozen=True)
class Share:
    """A process's part of each batch. All plan alike and take turns, so none waits for a longer one."""

    rank: int
    n_processes: int
    plan_rng: np.random.Generator  # in the same state everywhere

    def of(self, batch: list[tuple[int, int]]) -> list[tuple[int, int]]:
        return batch[self.rank :: self.n_processes]


def plan(corpora: list[Corpus], size: int, rng: np.random.Generator) -> list[list[tuple[int, int]]]:
    """One epoch: batches of (corpus, utterance) of about equal length, in random order."""
    items = [(c, i) for c, corpus in enumerate(corpora) for i, u in enumerate(corpus.utterances)
             if not u.made_up or rng.random() < MADE_UP_SHARE]  # fmt: skip
    items = [items[i] for i in rng.permutation(len(items))]
    chunks = [items[i : i + 60 * size] for i in range(0, len(items), 60 * size)]
    batches = []
    for chunk in chunks:
        chunk.sort(key=lambda ci: corpora[ci[0]].utterances[ci[1]].n_samples)
        batches += [chunk[i : i + size] for i in range(0, len(chunk) - size + 1, size)]
    return [batches[i] for i in rng.permutation(len(batches))]


def stream(
    corpora: list[Corpus], size: int, tokenizer: Tokenizer, pools: NamePools,
    rng: np.random.Generator, share: Share, n_questions: int = 1,
) -> Iterator[Batch]:  # fmt: skip
    """Endless training batches, each recording asked `n_questions` things.

    Two in a hundred are noise without words: the answer is nothing.
    """
    while True:
        for batch in map(share.of, plan(corpora, size * share.n_processes, share.plan_rng)):
            utterances = [corpora[c].utterances[i] for c, i in batch]
            sounds = [corpora[c].audio(corpora[c].utterances[i]) for c, i in batch]
            longest = max(map(len, sounds)) + int(rng.integers(0, 9600))
            n_samples = -(-longest // PAD_TO_SAMPLES) * PAD_TO_SAMPLES
            questions = [tasks.ask(u, rng, pools) for _ in range(n_questions) for u in utterances]
            for i in np.flatnonzero(rng.random(len(batch)) < 0.02):
                sounds[i] = np.zeros(8, np.float32) + 1e-3
                for j in range(i, len(questions), len(batch)):
                    questions[j] = tasks.Question(questions[j].instruction, "", "")
            yield Batch(heard_in_noise(sounds, n_samples, rng), rows(questions, tokenizer))


def heard_in_noise(sounds: list[np.ndarray], n_samples: int, rng: np.random.Generator) -> Tensor:
    """Sounds of at most `n_samples` -> (B, T, 160) features of them in noise, by other voices."""
    noisy = np.stack([speech.roughen(rng, s, n_samples) for s in sounds])
    mel = features.log_mel(torch.from_numpy(noisy), _warps(rng, len(sounds)))
    return _mask(mel, rng)


def _warps(rng: np.random.Generator, n: int) -> Tensor:
    """Half of the voices as they are, the others higher or lower."""
    drawn = rng.integers(len(features.WARPS), size=n)
    return torch.from_numpy(np.where(rng.random(n) < 0.5, features.WARPS.index(1.0), drawn))


def _mask(mel: Tensor, rng: np.random.Generator) -> Tensor:
    """SpecAugment: up to two bands of mels and two short stretches of time (in place)."""
    n, n_frames, _ = mel.shape
    for row in range(n):
        for _ in range(rng.integers(0, 3)):
            width, at = int(rng.integers(1, 10)), int(rng.integers(0, 70))
            mel[row].view(n_frames, 2, 80)[:, :, at : at + width] = 0.0
        for _ in range(rng.integers(0, 3)):
            width, at = int(rng.integers(1, 6)), int(rng.integers(0, n_frames))
            mel[row, at : at + width] = 0.0
    return mel
