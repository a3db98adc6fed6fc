"""What the demo checkpoint writes of recordings, word by word, and which of the words are right."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.spoken_words import Spoken, digits, sentences
from demo.corpus import read_pools
from demo.speech import coloured_noise
from granite_mlx.decoding.prompts import Task, instruction, system_prompt
from granite_mlx.decoding.sampling import greedy
from granite_mlx.decoding.token_words import word_log_probs
from granite_mlx.engine import shared_thread
from granite_mlx.evaluate.error_rates import words as plain_words
from granite_mlx.recognition import Asked, Recogniser
from granite_mlx.running import Checkpoint
from granite_mlx.scheduling import Scheduler
from granite_mlx.speech import GraniteSpeech

BATCH_SIZE = 8
GROUPS = ("en", "fr", "digits")
QUIETEST_DB, LOUDEST_DB = -3.0, 25.0
"""Speech over noise: at the lower end little can be heard."""


@dataclass(frozen=True)
class Heard:
    """One recording: what was said, and what the model makes of it.

    Attributes:
        words: written by the decoder, with punctuation.
        word_log_probs: of each, by the decoder.
        ctc_logits: (T, n_classes) of the character head.
    """

    spoken: Spoken
    words: tuple[str, ...]
    word_log_probs: tuple[float, ...]
    ctc_logits: np.ndarray

    def pairs(self) -> list[tuple[int, int]]:
        """(place in what was said, place in `words`) of the words that are right."""
        return matches(
            [_plain(word.text) for word in self.spoken.words], [_plain(word) for word in self.words]
        )


def spoken(work: Path, fsdd: Path, n: int, seed: int, held_out: bool) -> Iterator[Spoken]:
    """`n` recordings of each group."""
    pools = read_pools(work / "names.json")
    for group in GROUPS:
        if group == "digits":
            yield from digits(fsdd, n, seed, held_out)
        else:
            yield from sentences(pools, group, n, seed, held_out)


def in_noise(recording: Spoken, rng: np.random.Generator) -> Spoken:
    """White, pink or brown noise over it, from hardly any to more than the speech."""
    samples = recording.samples
    level = np.sqrt(np.mean(samples**2)) * 10 ** (-rng.uniform(QUIETEST_DB, LOUDEST_DB) / 20)
    noise = coloured_noise(rng, len(samples))
    return Spoken(
        recording.name, recording.group, samples + np.float32(level) * noise, recording.words
    )


def listen(model: GraniteSpeech, recordings: Sequence[Spoken]) -> Iterator[Heard]:
    """Transcribe, a batch at a time."""
    for start in range(0, len(recordings), BATCH_SIZE):
        batch = recordings[start : start + BATCH_SIZE]
        yield from _listen(model, batch)


def _listen(model: GraniteSpeech, recordings: Sequence[Spoken]) -> list[Heard]:
    tokenizer = model.tokenizer
    prompt = tokenizer.prompt(instruction(Task(), model.family), system_prompt(model.family))

    def recogniser(checkpoint: Checkpoint) -> Recogniser:
        return Recogniser(model.network, model.config, model.features, tokenizer, None, checkpoint)

    asked = [
        Asked(one.samples, lambda _: prompt, Task(), greedy, None, "exact", lambda _: None, True)
        for one in recordings
    ]
    heard = []
    answers = Scheduler(shared_thread(), recogniser).answer(asked, BATCH_SIZE, lambda: None)
    for one, answered in zip(recordings, answers, strict=True):
        if isinstance(answered, Exception):
            raise answered
        ids, log_probs = answered.generated.ids, answered.generated.log_probs
        assert answered.witness.ctc_logits is not None
        if log_probs is None:  # the decoder was not asked, or its text did not stand
            ids, log_probs = (), ()
        by_word = word_log_probs([tokenizer.decode([token]) for token in ids], log_probs)
        words = tuple(tokenizer.decode(ids).split())
        heard.append(Heard(one, words, tuple(by_word), answered.witness.ctc_logits))
    return heard


def matches(wanted: Sequence[str], got: Sequence[str]) -> list[tuple[int, int]]:
    """Places of equal words on the way of the fewest edits between two texts."""
    distance = np.zeros((len(wanted) + 1, len(got) + 1), np.int64)
    distance[:, 0], distance[0] = np.arange(len(wanted) + 1), np.arange(len(got) + 1)
    for i, one in enumerate(wanted, start=1):
        for j, other in enumerate(got, start=1):
            substituted = distance[i - 1, j - 1] + (one != other)
            distance[i, j] = min(substituted, distance[i - 1, j] + 1, distance[i, j - 1] + 1)
    pairs, i, j = [], len(wanted), len(got)
    while i and j:
        if wanted[i - 1] == got[j - 1] and distance[i, j] == distance[i - 1, j - 1]:
            i, j = i - 1, j - 1
            pairs.append((i, j))
        elif distance[i, j] == distance[i - 1, j - 1] + 1:
            i, j = i - 1, j - 1
        elif distance[i, j] == distance[i - 1, j] + 1:
            i -= 1
        else:
            j -= 1
    return pairs[::-1]


def _plain(word: str) -> str:
    return " ".join(plain_words(word))
