"""Sounds that make speech models write what nobody said, or the same for ever."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from demo.held_out import Recording, noisy, nothing_said
from demo.speech import SAMPLE_RATE, draw_voice, say

REPEATED = {"en": ("no", "nine", "six", "home", "ha", "thank you"), "fr": ("non", "neuf", "plage")}
COPIES = (4, 8, 16, 32)
N_VOICES = 6
"""Of a crowd in which no word can be made out."""


@dataclass(frozen=True)
class Sound:
    """(n,) float32 samples at 16 kHz, and what is said in them, without punctuation."""

    samples: np.ndarray
    said: str


def clean(recordings: Sequence[Recording]) -> Iterator[Sound]:
    """The recordings as they are."""
    for one in recordings:
        yield Sound(one.samples, said(one))


def in_noise(recordings: Sequence[Recording], seed: int) -> Iterator[Sound]:
    """In a room, over a telephone, or through a poor microphone."""
    for one in recordings:
        yield Sound(noisy(one, seed).samples, said(one))


def clipped(recordings: Sequence[Recording]) -> Iterator[Sound]:
    """Recorded so loud that most samples are at the limit."""
    for one in recordings:
        yield Sound(np.clip(30 * one.samples, -1, 1).astype(np.float32), said(one))


def quiet(recordings: Sequence[Recording]) -> Iterator[Sound]:
    """60 dB below what they were, in the steps of 16 bits."""
    for one in recordings:
        faint = np.round(one.samples / 1000 * 32768) / 32768
        yield Sound(faint.astype(np.float32), said(one))


def repeated(seed: int) -> Iterator[Sound]:
    """The same word or two, said 4 to 32 times by a voice that training did not have."""
    rng = np.random.default_rng(seed)
    for language, phrases in REPEATED.items():
        for phrase in phrases:
            for n_copies in COPIES:
                text = " ".join([phrase] * n_copies)
                voice = draw_voice(rng, language, held_out=True)
                yield Sound(say(text, voice), text)


def silence_and_noise(seed: int, n: int) -> Iterator[Sound]:
    """Nothing, and noise of several colours, white among them."""
    for samples in nothing_said(seed, n):
        yield Sound(samples, "")


def tones(seed: int, n: int) -> Iterator[Sound]:
    """Beeps, hums and chords of half a second to six, at any level."""
    rng = np.random.default_rng([seed, n])
    for i in range(n):
        times_s = np.arange(int(rng.uniform(0.5, 6) * SAMPLE_RATE)) / SAMPLE_RATE
        pitches_hz = 50 * 2 ** rng.uniform(0, 6, 1 + i % 3)
        sound = np.sum(np.sin(2 * np.pi * pitches_hz[:, None] * times_s), axis=0)
        is_on = np.sin(2 * np.pi * rng.uniform(0.5, 4) * times_s) > 0 if i % 2 else 1.0
        level = 10 ** rng.uniform(-3, -0.7) / len(pitches_hz)
        yield Sound((level * sound * is_on).astype(np.float32), "")


def babble(recordings: Sequence[Recording], seed: int, n: int) -> Iterator[Sound]:
    """Several recordings at once, each turned round, so that nothing is said."""
    rng = np.random.default_rng([seed, n])
    for _ in range(n):
        places = rng.choice(len(recordings), N_VOICES, replace=False)
        voices = [recordings[place].samples[::-1] for place in places]
        longest = max(map(len, voices))
        crowd = np.stack([np.resize(voice, longest) for voice in voices])
        yield Sound((crowd.sum(axis=0) / N_VOICES).astype(np.float32), "")


def said(recording: Recording) -> str:
    """What is said in it."""
    return recording.plain("fr" if recording.group == "fr" else "en")
