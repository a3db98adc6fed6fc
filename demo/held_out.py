"""What the evaluation listens to: recordings that training never had, and lists of keywords.

Clean recordings are those of the corpus; the rest is drawn here, from a seed.
"""

import json
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from demo import names, speech
from demo.corpus import NamePools, Utterance, compose, spoken
from demo.sentences import plain

SETS = {"en": "test_en", "fr": "test_fr", "digits": "test_digits"}

# Terms that are in no sentence of the corpus and in no list of training.
UNSPOKEN_TERMS = (
    "TensorFlow Reykjavik ibuprofen PostgreSQL Zanzibar quorum Metformin Dostoevsky Heathrow "
    "mitochondria Terraform Worcestershire Xochitl Brzezinski sarcoidosis Cupertino"
).split()


@dataclass(frozen=True)
class Recording:
    """A test utterance and float32 samples at 16 kHz."""

    name: str  # "test_en 17"
    group: str  # "en", "fr" or "digits"
    utterance: Utterance
    samples: np.ndarray

    @property
    def usual(self) -> list[str]:
        return [usual for usual, _ in self.utterance.names]

    def punctuated(self, language: str) -> str:
        """The text in a language, names in their usual spelling."""
        u = self.utterance
        return (u.en if language == "en" else u.fr).format(*self.usual)

    def plain(self, language: str, spelt: Sequence[str] = ()) -> str:
        """The same without punctuation; the first names in the spelling that is given."""
        u = self.utterance
        template = plain(u.en if language == "en" else u.fr)
        return template.format(*spelt, *self.usual[len(spelt) :])


def read_set(work: Path, group: str, limit: int | None) -> list[Recording]:
    """The first `limit` recordings of a test set."""
    path = work / SETS[group]
    pcm = np.memmap(path.with_suffix(".i16"), dtype="<i2", mode="r")
    recordings = []
    for i, line in enumerate(path.with_suffix(".jsonl").read_text().splitlines()[:limit]):
        u = Utterance(**json.loads(line))
        samples = pcm[u.start : u.start + u.n_samples].astype(np.float32) / 32767
        recordings.append(Recording(f"{path.name} {i}", group, u, samples))
    return recordings


def unseen_names(pools: NamePools, language: str, seed: int, n: int) -> Iterator[Recording]:
    """Held-out voices and patterns with made-up names that training never saw."""
    rng = np.random.default_rng([seed, zlib.crc32(language.encode())])
    pools = replace(pools, real=pools.unseen)
    while n:
        composed = compose(rng, language, pools, held_out=True)
        if composed.names:
            n -= 1
            utterance, samples = spoken(rng, composed, held_out=True)
            yield Recording(f"unseen_{language} {n}", language, utterance, samples)


def noisy(recording: Recording, seed: int) -> Recording:
    """The same in a room, over a telephone, or through a poor microphone."""
    rng = np.random.default_rng([seed, zlib.crc32(recording.name.encode())])
    n_samples = len(recording.samples) + int(rng.integers(0, 9600))
    return replace(recording, samples=speech.roughen(rng, recording.samples, n_samples))


def nothing_said(seed: int, n: int) -> Iterator[np.ndarray]:
    """Silence, and noise of several colours and levels, of half a second to six."""
    rng = np.random.default_rng([seed, n])
    for i in range(n):
        n_samples = int(rng.uniform(0.5, 6) * speech.SAMPLE_RATE)
        level = 0.0 if i % 4 == 0 else 10 ** rng.uniform(-4, -0.7)
        yield (level * speech.coloured_noise(rng, n_samples)).astype(np.float32)


class KeywordLists:
    """Draws the lists of a language: terms that nobody says, by espeak-ng's ear."""

    def __init__(self, pools: NamePools, language: str) -> None:
        pairs = pools.real[language] + pools.unseen[language]
        self._terms = sorted({*UNSPOKEN_TERMS, *(name for pair in pairs for name in pair)})
        voice = "en-us" if language == "en" else "fr-fr"
        self._sounds = dict(zip(self._terms, names.phonemes(self._terms, voice), strict=True))

    def alike(self, pair: tuple[str, str]) -> bool:
        """Whether the two spellings are said alike."""
        return self._sounds[pair[0]] == self._sounds[pair[1]]

    def draw(
        self, rng: np.random.Generator, u: Utterance, wanted: list[str], size: int
    ) -> list[str]:
        """`size` terms in random order: those `wanted`, as far as they fit, and unspoken ones."""
        said = {self._sounds[name] for pair in u.names for name in pair}
        unspoken = [term for term in self._terms if self._sounds[term] not in said]
        listed = wanted[:size]
        listed += [str(t) for t in rng.choice(unspoken, size - len(listed), replace=False)]
        return [listed[i] for i in rng.permutation(size)]
