"""How far word borders are from where they belong: a table of docs/word-times.md.

    python -m benchmarks.word_times --work demo/work --digits ../shared/data/fsdd [--docs FILE]
    python -m benchmarks.word_times --work demo/work --digits ../shared/data/fsdd --calibrate

The demo checkpoint transcribes; words that it gets right are compared with espeak-ng's own times,
and with the audible parts of recorded digits at known places. The voices, takes and sentences are
ones that training never had; those of --calibrate, which looks for the rule with the smallest
error, are of training's kind. WORK needs `demo.corpus`'s names.json only. Exits with 1 if the
borders miss their floors.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path

import numpy as np

import granite_mlx
from benchmarks.heard_words import GROUPS, Heard, in_noise, listen, spoken
from benchmarks.spoken_words import Spoken, SpokenWord
from benchmarks.tables import block_writer, markdown
from demo.speech import SAMPLE_RATE
from granite_mlx.ctc.alignment import AlignedWord
from granite_mlx.ctc.borders import RULE, BorderRule, levels_db, word_spans
from granite_mlx.words import aligned_words

BLOCK = "word times"
N_RECORDINGS, SEED = 100, 20261127
MEDIAN_MS, NINETY_PERCENT_MS = 40.0, 100.0
"""The floors: of all borders in clean recordings."""

AUDIBLE_DB = -30.0
"""Below its loudest place, what is still taken for a digit's sound and not for its room."""

NAMES = {"en": "English, espeak-ng", "fr": "French, espeak-ng", "digits": "real digits"}
TAKES = "real digits, takes as a whole"
"""Their silence, breath and room is part of them: up to a second, for a digit of 0.3 s."""

GRID = ((0.08, 0.1, 0.12), (3.0, 4.0, 6.0), (25.0, 30.0, 35.0), (6.0, 9.0, 12.0))
"""Pauses are no shorter: people's closures of a p, t or k last longer than espeak-ng's."""

LARGEST_S = 0.3  # what an error counts at most in the calibration


@dataclass(frozen=True)
class Row:
    """Errors of starts and ends in milliseconds, positive where they are late."""

    name: str
    n_said: int
    starts_ms: np.ndarray
    ends_ms: np.ndarray

    @property
    def meets_floors(self) -> bool:
        """Whether the borders are as good as they have to be."""
        return all(
            np.median(abs(errors)) <= MEDIAN_MS
            and np.quantile(abs(errors), 0.9) <= NINETY_PERCENT_MS
            for errors in (self.starts_ms, self.ends_ms)
        )


@dataclass(frozen=True)
class Placed:
    """A recording with the letters of what was written down, before there are borders.

    Attributes:
        pairs: (place in `said`, place in `aligned`) of the words that are right.
    """

    said: Sequence[SpokenWord]
    aligned: tuple[AlignedWord, ...]
    pairs: list[tuple[int, int]]
    levels: np.ndarray
    duration_s: float


def placed(one: Heard) -> Placed:
    """As the product does it."""
    aligned = aligned_words(" ".join(one.words), one.ctc_logits)
    samples = one.spoken.samples
    return Placed(
        one.spoken.words,
        aligned,
        one.pairs() if aligned else [],
        levels_db(samples, SAMPLE_RATE),
        len(samples) / SAMPLE_RATE,
    )


def row(name: str, recordings: Iterable[Placed], rule: BorderRule = RULE) -> Row:
    """The errors of the words that were written down right."""
    n_said, starts, ends = 0, [], []
    for one in recordings:
        n_said += len(one.said)
        spans = word_spans(one.aligned, one.levels, one.duration_s, rule)
        for place, written in one.pairs:
            starts.append(spans[written][0] - one.said[place].start_s)
            ends.append(spans[written][1] - one.said[place].end_s)
    return Row(name, n_said, 1000 * np.array(starts), 1000 * np.array(ends))


def audible_words(recording: Spoken) -> list[SpokenWord]:
    """The words without the breath and the room around them; for recordings without noise."""
    levels, words = levels_db(recording.samples, SAMPLE_RATE), []
    for word in recording.words:
        first, end = round(word.start_s * 100), round(word.end_s * 100)
        loud = first + np.flatnonzero(levels[first:end] > levels[first:end].max() + AUDIBLE_DB)
        words.append(replace(word, start_s=loud[0] / 100, end_s=(loud[-1] + 1) / 100))
    return words


def table(rows: Sequence[Row]) -> str:
    """The rows in Markdown."""
    head = ["recordings", "words said", "right", "starts: median", "90 %", "within 100 ms",
            "ends: median", "90 %", "within 100 ms"]  # fmt: skip
    return markdown(head, map(_cells, rows), n_names=1)


def _cells(r: Row) -> list[str]:
    return [
        r.name,
        str(r.n_said),
        str(len(r.starts_ms)),
        *_errors(r.starts_ms),
        *_errors(r.ends_ms),
    ]


def _errors(errors_ms: np.ndarray) -> list[str]:
    size = abs(errors_ms)
    median, ninety = np.median(size), np.quantile(size, 0.9)
    return [
        f"{median:.0f} ms",
        f"{ninety:.0f} ms",
        f"{100 * (size <= NINETY_PERCENT_MS).mean():.1f} %",
    ]


def calibrated(sentences: Sequence[Placed], digits: Sequence[Placed]) -> BorderRule:
    """The rule of a grid with the smallest error of word ends; its lead is the starts' median."""
    lead_s = np.median(row("", sentences, replace(RULE, lead_s=0.0)).starts_ms) / 1000
    start = replace(RULE, lead_s=round(float(lead_s), 3))
    rules = [
        replace(start, least_pause_s=pause_s, above_floor_db=floor, below_word_db=word,
                least_below_word_db=least)
        for pause_s, floor, word, least in product(*GRID)
    ]  # fmt: skip
    return min(rules, key=lambda rule: _end_error([*sentences, *digits], rule))


def _end_error(recordings: Sequence[Placed], rule: BorderRule) -> float:
    errors_s = abs(row("", recordings, rule).ends_ms) / 1000
    return float(np.minimum(errors_s, LARGEST_S).mean())


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    add_recording_arguments(parser)
    parser.add_argument("--calibrate", action="store_true", help="look for the best rule")
    parser.add_argument("--docs", type=Path, help="put the table into this document")
    args = parser.parse_args()
    if args.calibrate:
        clean, noisy = (transcribed(args, one, held_out=False) for one in ("train", "train_noisy"))
        heard = [*(with_audible(one) for one in clean), *noisy]
        print(calibrated(*(
            [placed(one) for one in heard if (one.spoken.group == "digits") is is_digits]
            for is_digits in (False, True)
        )))  # fmt: skip
        return 0
    write = block_writer(args.docs, BLOCK)
    judged = clean_rows(transcribed(args, "test", held_out=True))
    rows = [*judged, *noisy_rows(transcribed(args, "test_noisy", held_out=True))]
    print(table(rows))
    write(table(rows))
    return 0 if all(one.meets_floors for one in judged if one.name != TAKES) else 1


def clean_rows(heard: Sequence[Heard]) -> list[Row]:
    """Of recordings without noise, by group."""
    groups = {group: [h for h in heard if h.spoken.group == group] for group in GROUPS}
    return [
        row(NAMES["en"], map(placed, groups["en"])),
        row(NAMES["fr"], map(placed, groups["fr"])),
        row(NAMES["digits"], (placed(with_audible(one)) for one in groups["digits"])),
        row(TAKES, map(placed, groups["digits"])),
    ]


def noisy_rows(heard: Sequence[Heard]) -> list[Row]:
    """Of recordings with noise, by group."""
    groups = {group: [h for h in heard if h.spoken.group == group] for group in GROUPS}
    return [row(f"{NAMES[group]}, in noise", map(placed, groups[group])) for group in GROUPS]


def with_audible(one: Heard) -> Heard:
    """Of a digit without noise, the times of its audible part."""
    return replace(one, spoken=_audible(one.spoken))


def add_recording_arguments(parser: argparse.ArgumentParser) -> None:
    """What `transcribed` asks for."""
    parser.add_argument("--work", type=Path, required=True, help="the folder of demo.corpus")
    parser.add_argument("--digits", type=Path, required=True, help="the folder of FSDD's wavs")
    parser.add_argument("--n", type=int, default=N_RECORDINGS, help="recordings of each kind")


def transcribed(args: argparse.Namespace, name: str, held_out: bool) -> list[Heard]:
    """Recordings of a kind by its name, transcribed by the demo checkpoint."""
    noisy = name.endswith("noisy")
    recordings = spoken(args.work, args.digits, args.n, SEED + noisy, held_out)
    rng = np.random.default_rng([5, held_out])
    made = [in_noise(_audible(one), rng) if noisy else one for one in recordings]
    with granite_mlx.load("demo", dtype="float32") as model:
        return list(listen(model, made))


def _audible(recording: Spoken) -> Spoken:
    """Before the noise comes: of a digit, what is audible without it."""
    if recording.group != "digits":
        return recording
    return replace(recording, words=tuple(audible_words(recording)))


if __name__ == "__main__":
    sys.exit(main())
