"""Recordings of which it is known when each word is said.

Two kinds: sentences by espeak-ng, which tells at what sample each word and each phoneme begins, and
recordings of real spoken digits (FSDD) put one behind the other.
"""

from __future__ import annotations

import ctypes
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import soxr

from demo import speech
from demo.corpus import NamePools, compose
from demo.speech import DIGITS, SAMPLE_RATE, SPEAKERS, Voice

_RETRIEVAL, _PHONEME_EVENTS, _UTF_8 = 1, 1, 1
_RATE, _PITCH = 1, 3
_END_OF_LIST, _WORD, _PHONEME = 0, 1, 7
_PAUSE = b"_"
KEPT_SILENCE_S = 0.05
"""At either end of a sentence, as in the demo's corpus."""


@dataclass(frozen=True)
class SpokenWord:
    """What is between two spaces of a text, and when it is said."""

    start_s: float
    end_s: float
    text: str


@dataclass(frozen=True)
class Spoken:
    """A recording, float32 at 16 kHz, and its words."""

    name: str
    group: str
    samples: np.ndarray
    words: tuple[SpokenWord, ...]

    @property
    def text(self) -> str:
        """The words, as they are written."""
        return " ".join(word.text for word in self.words)


class _Event(ctypes.Structure):
    """espeak_EVENT of espeak-ng's speak_lib.h; of its last field, the name of a phoneme."""

    _fields_ = (
        ("type", ctypes.c_int),
        ("unique_identifier", ctypes.c_uint),
        ("text_position", ctypes.c_int),
        ("length", ctypes.c_int),
        ("audio_position", ctypes.c_int),
        ("sample", ctypes.c_int),
        ("user_data", ctypes.c_void_p),
        ("phoneme", ctypes.c_char * 8),
    )


class _Selection(ctypes.Structure):
    """espeak_VOICE of the same file: a voice by its language."""

    _fields_ = (
        ("name", ctypes.c_char_p),
        ("languages", ctypes.c_char_p),
        ("identifier", ctypes.c_char_p),
        ("properties", ctypes.c_ubyte * 4),
        ("score", ctypes.c_int),
        ("spare", ctypes.c_void_p),
    )


_Callback = ctypes.CFUNCTYPE(
    ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.POINTER(_Event)
)


@dataclass(frozen=True)
class Mark:
    """What begins at a sample.

    `place` is that of a word's first character in the text, as espeak-ng has it, and None for the
    phonemes; some of those are pauses.
    """

    sample: int
    place: int | None = None
    is_pause: bool = False


class Espeak:
    """libespeak-ng in this process. It has one state for all: have no two of these at work."""

    def __init__(self) -> None:
        self._library = ctypes.CDLL("libespeak-ng.so.1")
        self._rate: int = self._library.espeak_Initialize(_RETRIEVAL, 0, None, _PHONEME_EVENTS)
        if self._rate <= 0:
            raise RuntimeError("espeak-ng does not start; install its data files.")
        self._parts: list[np.ndarray] = []
        self._marks: list[Mark] = []
        self._callback = _Callback(self._take)  # must live as long as the library may call it
        self._library.espeak_SetSynthCallback(self._callback)

    def say(self, text: str, voice: Voice) -> tuple[np.ndarray, list[SpokenWord]] | None:
        """Samples at 16 kHz and the words; None where espeak-ng does not tell the words apart."""
        self._parts, self._marks = [], []
        self._choose(voice)
        data = text.encode()
        self._library.espeak_Synth(data, len(data) + 1, 0, 1, 0, _UTF_8, None, None)
        self._library.espeak_Synchronize()
        pcm = np.concatenate(self._parts)
        spans = word_spans(text, self._marks, len(pcm))
        if spans is None:
            return None
        words = [
            SpokenWord(start / self._rate, end / self._rate, word)
            for word, (start, end) in zip(text.split(), spans, strict=True)
        ]
        samples = (pcm / 32768).astype(np.float32)
        return soxr.resample(samples, self._rate, SAMPLE_RATE).astype(np.float32), words

    def _choose(self, voice: Voice) -> None:
        name = voice.name.encode()
        if self._library.espeak_SetVoiceByName(name) != 0:  # then it is a language, as fr-fr+f4
            selection = _Selection(languages=name)
            if self._library.espeak_SetVoiceByProperties(ctypes.byref(selection)) != 0:
                raise RuntimeError(f"espeak-ng has no voice {voice.name}.")
        self._library.espeak_SetParameter(_RATE, voice.words_per_minute, 0)
        self._library.espeak_SetParameter(_PITCH, voice.pitch, 0)

    def _take(self, wave: Any, n_samples: int, events: Any) -> int:
        """espeak-ng's callback: a stretch of sound and what begins in it."""
        if n_samples > 0:
            self._parts.append(np.ctypeslib.as_array(wave, (n_samples,)).copy())
        n = 0
        while events[n].type != _END_OF_LIST:
            event = events[n]
            if event.type == _WORD:
                self._marks.append(Mark(event.sample, place=event.text_position - 1))
            elif event.type == _PHONEME:
                self._marks.append(Mark(event.sample, is_pause=event.phoneme.startswith(_PAUSE)))
            n += 1
        return 0


def word_spans(text: str, marks: Sequence[Mark], n_samples: int) -> list[tuple[int, int]] | None:
    """(start, end) samples of what is between spaces; None where marks are missing.

    A word begins with its mark and ends where the next word does, or the pause between them.
    """
    starts = _word_starts(text, marks)
    if starts is None:
        return None
    spans = []
    for start, following in zip(starts, [*starts[1:], n_samples], strict=True):
        inside = [m for m in marks if m.place is None and start <= m.sample < following]
        spoken = [m.sample for m in inside if not m.is_pause]
        last = max(spoken, default=start)
        end = min((m.sample for m in inside if m.is_pause and m.sample > last), default=following)
        spans.append((start, end))
    return spans


def _word_starts(text: str, marks: Sequence[Mark]) -> list[int] | None:
    """The first mark in each word; espeak-ng says some words in one, as "in the"."""
    starts = []
    for word in re.finditer(r"\S+", text):
        own = [
            m.sample for m in marks if m.place is not None and word.start() <= m.place < word.end()
        ]
        if not own:
            return None
        starts.append(min(own))
    return starts if starts == sorted(set(starts)) else None


@cache
def the_espeak() -> Espeak:
    """The only one: the library does not come back from being started twice."""
    return Espeak()


def sentences(
    pools: NamePools, language: str, n: int, seed: int, held_out: bool
) -> Iterator[Spoken]:
    """Sentences of the demo's kind; held-out ones in voices and patterns that training has not."""
    espeak = the_espeak()
    rng = np.random.default_rng([seed, *language.encode(), held_out])
    made = 0
    while made < n:
        u = compose(rng, language, pools, held_out)
        text = (u.en if language == "en" else u.fr).format(*(usual for usual, _ in u.names))
        said = espeak.say(text, speech.draw_voice(rng, language, held_out))
        if said is not None:
            made += 1
            yield trimmed(Spoken(f"{language} {made}", language, said[0], tuple(said[1])))


def trimmed(spoken: Spoken) -> Spoken:
    """Without the silence at the ends, but for a little, as the demo was trained."""
    loud = np.flatnonzero(np.abs(spoken.samples) > 0.01 * np.abs(spoken.samples).max())
    keep = int(KEPT_SILENCE_S * SAMPLE_RATE)
    first, end = max(0, int(loud[0]) - keep), int(loud[-1]) + keep
    first_s, length_s = first / SAMPLE_RATE, (min(end, len(spoken.samples)) - first) / SAMPLE_RATE
    words = tuple(
        replace(w, start_s=max(0.0, w.start_s - first_s), end_s=min(length_s, w.end_s - first_s))
        for w in spoken.words
    )
    return replace(spoken, samples=spoken.samples[first:end], words=words)


def digits(folder: Path, n: int, seed: int, held_out: bool) -> Iterator[Spoken]:
    """Two to seven real digits by one speaker, 30 to 300 ms of silence between them.

    A word's times are those of its recording's first and last sample.
    """
    takes = speech.load_digits(folder, held_out)
    rng = np.random.default_rng([seed, held_out])
    for number in range(n):
        speaker = SPEAKERS[rng.integers(len(SPEAKERS))]
        parts: list[np.ndarray] = []
        words: list[SpokenWord] = []
        n_samples = 0
        for digit in rng.integers(0, 10, size=int(rng.integers(2, 8))):
            choice = takes[(speaker, int(digit))]
            take = choice[rng.integers(len(choice))]
            take = take * np.float32(0.3 / max(1e-4, np.abs(take).max()))
            silence = np.zeros(int(rng.uniform(0.03, 0.3) * SAMPLE_RATE), np.float32)
            start = n_samples + len(silence)
            n_samples = start + len(take)
            parts += [silence, take]
            words.append(
                SpokenWord(start / SAMPLE_RATE, n_samples / SAMPLE_RATE, DIGITS[int(digit)])
            )
        yield Spoken(f"digits {number}", "digits", np.concatenate(parts), tuple(words))


def noisy(spoken: Spoken, rng: np.random.Generator) -> Spoken:
    """The same in a room, over a telephone, or through a poor microphone; the times stay."""
    return replace(spoken, samples=speech.roughen(rng, spoken.samples, len(spoken.samples)))
