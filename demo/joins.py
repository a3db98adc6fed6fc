"""Joined speech for training: windows over utterances that follow one another, cut anywhere.

Of a long recording in which nobody pauses, the product hears pieces that begin in the middle of a
sentence and end in the middle of another one, by another voice. `demo.letter_times` tells which
words, and which letters of them, such a piece holds.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from tokenizers import Tokenizer

from demo import tasks
from demo.batches import Batch, Corpus, Share, heard_in_noise, rows
from demo.corpus import NamePools, Utterance
from demo.speech import SAMPLE_RATE
from demo.tasks import heard

GROUPS = {
    "en": (0.4, ("en", "names_en")),
    "fr": (0.4, ("fr", "names_fr")),
    "digits": (0.2, ("digits",)),
}
"""What follows one another is of one group; how often it is drawn."""

SHORTEST_S, USUAL_S, LONGEST_S = 1.2, (1.8, 3.8), 4.8
"""Lengths of windows; those between the usual ones are drawn three times in four."""

WHOLE = 0.15  # of the windows: as many whole utterances as there is room for
FROM_THE_BEGINNING = TO_THE_END = 0.15  # of an utterance: a pause before, or behind
AT_A_WORD = 0.35  # of the edges within an utterance: where a pause by ear is
WITHOUT_A_GAP = 0.6  # of the borders; others are as long as this
LONGEST_GAP_S = 0.3

LETTER_S = 0.04
"""So much of a letter has to be there for it to be heard."""


@dataclass(frozen=True)
class Said:
    """An utterance, its samples, and for each word the times at which its letters begin."""

    utterance: Utterance
    samples: np.ndarray
    times_s: list[list[float]]


@dataclass(frozen=True)
class Window:
    """What is heard of a run: the words as an utterance, its letters, and the samples."""

    utterance: Utterance
    letters: str  # also of words that are cut
    samples: np.ndarray
    is_whole: bool  # nothing is cut: it can be translated


class Joins:
    """Draws windows over the training utterances whose letters have times."""

    def __init__(self, work: Path) -> None:
        self._groups = {
            group: [_read(work / f"train_{name}") for name in names]
            for group, (_, names) in GROUPS.items()
        }

    def draw(self, rng: np.random.Generator, n_samples: int) -> Window:
        """A window of at most so many samples, mostly exactly so many."""
        shares = [share for share, _ in GROUPS.values()]
        corpora = self._groups[list(GROUPS)[int(rng.choice(len(shares), p=shares))]]
        if rng.random() < WHOLE:
            run = _run(corpora, rng, n_samples, leave_over=True)
            n_left = n_samples - sum(len(one.samples) for one in run)
            return whole(*placed(run, rng, n_left / len(run) / SAMPLE_RATE))
        # One more at the beginning, for the window to begin somewhere in it.
        run, starts = placed(_run(corpora, rng, n_samples, leave_over=False), rng)
        return cut(run, starts, _edges(run, starts, n_samples, rng))


def length(rng: np.random.Generator) -> int:
    """A number of samples for the windows of a batch, in tenths of a second."""
    low, high = USUAL_S if rng.random() < 0.75 else (SHORTEST_S, LONGEST_S)
    return round(10 * rng.uniform(low, high)) * SAMPLE_RATE // 10


def _read(path: Path) -> tuple[Corpus, list[tuple[int, list[list[float]]]]]:
    letters = path.with_suffix(".letters.jsonl").read_text().splitlines()
    return Corpus.open(path), [tuple(json.loads(line)) for line in letters]


def _run(corpora, rng: np.random.Generator, n_samples: int, leave_over: bool) -> list[Said]:
    """Utterances with no name in common: at most `n_samples` in all, or at least so many behind the
    first one."""
    run: list[Said] = []
    names: set[str] = set()
    n = 0
    while True:
        corpus, known = corpora[int(rng.integers(len(corpora)))]
        i, times_s = known[int(rng.integers(len(known)))]
        u = corpus.utterances[i]
        own = {spelling.lower() for pair in u.names for spelling in pair}
        if names & own or (leave_over and u.n_samples > n_samples):
            continue
        if leave_over and n + u.n_samples > n_samples:
            return run
        names |= own
        run.append(Said(u, corpus.audio(u), times_s))
        n += u.n_samples
        if not leave_over and n - run[0].utterance.n_samples >= n_samples:
            return run


def placed(
    run: list[Said], rng: np.random.Generator, longest_gap_s: float = LONGEST_GAP_S
) -> tuple[list[Said], list[int]]:
    """The utterances at slightly different levels, and at which sample each begins."""
    starts, at, louder = [], 0, []
    for one in run:
        starts.append(at)
        gap_s = (
            0.0
            if rng.random() < WITHOUT_A_GAP
            else rng.uniform(0, min(LONGEST_GAP_S, longest_gap_s))
        )
        at += len(one.samples) + int(gap_s * SAMPLE_RATE)
        louder.append(replace(one, samples=one.samples * np.float32(10 ** rng.uniform(-0.15, 0))))
    return louder, starts


def _edges(
    run: list[Said], starts: list[int], n_samples: int, rng: np.random.Generator
) -> tuple[int, int]:
    """Where a window begins and ends: somewhere, at a word, or with an utterance."""
    kind = rng.random()
    if kind < FROM_THE_BEGINNING:
        start = 0
    elif kind < FROM_THE_BEGINNING + TO_THE_END:
        last = max(i for i, one in enumerate(run) if i == 0 or starts[i] < n_samples)
        start = max(0, starts[last] + len(run[last].samples) - n_samples)
    else:
        start = int(rng.integers(len(run[0].samples)))
    end = min(start + n_samples, starts[-1] + len(run[-1].samples))
    if start and rng.random() < AT_A_WORD:
        start = _at_a_word(run, starts, start, rng)
        end = min(start + n_samples, end)
    elif rng.random() < AT_A_WORD:
        end = max(_at_a_word(run, starts, end, rng), start + n_samples // 2)
    return start, end


def _at_a_word(run: list[Said], starts: list[int], sample: int, rng: np.random.Generator) -> int:
    """The last beginning of a word before a sample, and a little less."""
    words = [start + word[0] * SAMPLE_RATE
             for one, start in zip(run, starts, strict=True) for word in one.times_s]  # fmt: skip
    before = [at for at in words if at <= sample]
    return max(0, int((before or [0])[-1] - rng.uniform(0, 0.03) * SAMPLE_RATE))


def cut(run: list[Said], starts: list[int], edges: tuple[int, int]) -> Window:
    """The window [start, end) of a run."""
    start, end = edges
    samples = np.zeros(end - start, np.float32)
    templates, letters, names = [], [], []
    for one, at in zip(run, starts, strict=True):
        first, last = max(start, at), min(end, at + len(one.samples))
        if first >= last:
            continue
        samples[first - start : last - start] = one.samples[first - at : last - at]
        here = ((first - at) / SAMPLE_RATE, (last - at) / SAMPLE_RATE - LETTER_S)
        kept = _words_within(one, *here, names)
        templates += kept[0]
        letters += kept[1]
    text = " ".join(templates)
    utterance = _utterance(run, text, text, names, len(samples))
    return Window(utterance, " ".join(letters), samples, is_whole=False)


def _words_within(
    one: Said, first_s: float, last_s: float, names: list[tuple[str, str]]
) -> tuple[list[str], list[str]]:
    """The words of which more than half is heard, as templates, and all letters that are heard.

    `names` are those of the run so far; those of the words are added.
    """
    u = one.utterance
    template = (u.en if u.language == "en" else u.fr).split()
    words, letters = [], []
    for written, spoken, times_s in zip(template, heard(u).split(), one.times_s, strict=True):
        inside = [first_s <= t <= last_s for t in times_s]
        if any(inside):
            letters.append("".join(c for c, is_in in zip(spoken, inside, strict=True) if is_in))
        if sum(inside) > len(inside) / 2:
            said = [int(i) for i in re.findall(r"\{(\d+)\}", written)]
            words.append(renumbered(written, {i: len(names) + n for n, i in enumerate(said)}))
            names += [u.names[i] for i in said]
    return words, letters


def whole(run: list[Said], starts: list[int]) -> Window:
    """All of a run."""
    samples = np.zeros(starts[-1] + len(run[-1].samples), np.float32)
    names: list[tuple[str, str]] = []
    english, french = [], []
    for one, at in zip(run, starts, strict=True):
        u = one.utterance
        samples[at : at + len(one.samples)] = one.samples
        places = {i: len(names) + i for i in range(len(u.names))}
        english.append(renumbered(u.en, places))
        french.append(renumbered(u.fr, places))
        names += u.names
    utterance = _utterance(run, " ".join(english), " ".join(french), names, len(samples))
    return Window(utterance, heard(utterance), samples, is_whole=True)


def _utterance(
    run: list[Said], en: str, fr: str, names: list[tuple[str, str]], n_samples: int
) -> Utterance:
    made_up = any(one.utterance.made_up for one in run)
    return replace(
        run[0].utterance, en=en, fr=fr, names=names, made_up=made_up, n_samples=n_samples
    )


def renumbered(template: str, places: dict[int, int]) -> str:
    """A template whose names stand at other places of the list."""
    return re.sub(r"\{(\d+)\}", lambda match: f"{{{places[int(match[1])]}}}", template)


def stream(
    joins: Joins, size: int, tokenizer: Tokenizer, pools: NamePools,
    rng: np.random.Generator, share: Share, n_questions: int = 1,
) -> Iterator[Batch]:  # fmt: skip
    """Endless training batches of windows of one length, which fill it: nothing is put around them."""
    while True:
        n_samples = length(share.plan_rng)
        windows = [joins.draw(rng, n_samples) for _ in range(size)]
        questions = [
            replace(tasks.ask(w.utterance, rng, pools, w.is_whole), letters=w.letters)
            for _ in range(n_questions)
            for w in windows
        ]
        sounds = [w.samples for w in windows]
        yield Batch(heard_in_noise(sounds, n_samples, rng), rows(questions, tokenizer), True)
