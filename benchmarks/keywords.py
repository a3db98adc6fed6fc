"""What lists of keywords do to the demo's held-out sentences with names, the longer the list is.

    python -m benchmarks.keywords --work demo/work [--skip N] [--limit N] [--sizes 0,5,5000]
                                  [--boosts 0,2] [--cost]

For each size, a list holds the names of a recording, each in one of its two spellings, and so many
terms that nobody says (`keyword_lists`). Printed are precision, recall and F1 of the terms, the
recall of the terms that are said in the prompt, and the word errors of all other words; with
--cost, what the search costs this machine. Needs espeak-ng.
"""

from __future__ import annotations

import argparse
import itertools
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

import granite_mlx
from benchmarks.keyword_lists import Distractors
from demo.corpus import read_pools
from demo.held_out import Recording, read_set
from demo.speech import SAMPLE_RATE
from granite_mlx.biasing.choice import index_of
from granite_mlx.evaluate.error_rates import ErrorRate, words
from granite_mlx.transcript import Transcript

SEED = 20261128
SIZES = (0, 5, 50, 500, 5000, 50_000)
HEADINGS = (
    "terms nobody says", "boost", "precision", "recall", "F1", "said, in the prompt", "in a prompt",
    "WER of other words",
)  # fmt: skip
COST_SIZES = (1000, 10_000, 100_000)
COST_FRAMES = 1500
"""Of the encoder: 30 s."""


@dataclass
class Score:
    """Counts of one size of list."""

    n_said: int = 0
    n_right: int = 0
    n_wrong: int = 0
    n_offered: int = 0
    n_in_prompts: int = 0
    n_recordings: int = 0
    others: ErrorRate = field(default_factory=ErrorRate)

    def add(self, wanted: str, said: Sequence[str], got: Transcript) -> None:
        """One recording: the text that is wanted, its terms, and what came of it."""
        for report in got.keywords:
            self.n_in_prompts += report.offered
            if report.term in said:
                self.n_offered += report.offered
                self.n_right += report.found
            else:
                self.n_wrong += report.found
        self.n_recordings += 1
        self.n_said += len(said)
        self.others += other_errors(
            words(wanted), words(got.text), {w for t in said for w in words(t)}
        )

    @property
    def precision(self) -> float:
        """Of the terms that were written, those that were said, in percent."""
        return percent(self.n_right, self.n_right + self.n_wrong)

    @property
    def recall(self) -> float:
        """Of the terms that were said, those that were written."""
        return percent(self.n_right, self.n_said)

    @property
    def f1(self) -> float:
        """The harmonic mean of the two."""
        return percent(2 * self.n_right, self.n_said + self.n_right + self.n_wrong)

    def row(self) -> list[str]:
        """Cells of the table."""
        return [
            f"{self.precision:.1f}", f"{self.recall:.1f}", f"{self.f1:.1f}",
            f"{percent(self.n_offered, self.n_said):.1f}",
            f"{self.n_in_prompts / max(1, self.n_recordings):.1f}",
            f"{self.others.percent:.2f}",
        ]  # fmt: skip


def percent(n: int, total: int) -> float:
    """Of a total; 100 of nothing."""
    return 100 * n / total if total else 100.0


def other_errors(wanted: Sequence[str], got: Sequence[str], terms: set[str]) -> ErrorRate:
    """The edits of all words but the terms, on the way of the fewest edits.

    What stands in a term's place is the term's own error; what is put in is not.
    """
    costs = np.zeros((len(wanted) + 1, len(got) + 1), np.int64)
    costs[:, 0], costs[0] = np.arange(len(wanted) + 1), np.arange(len(got) + 1)
    for i, j in np.ndindex(len(wanted), len(got)):
        costs[i + 1, j + 1] = min(
            costs[i, j] + (wanted[i] != got[j]), costs[i, j + 1] + 1, costs[i + 1, j] + 1
        )
    i, j, n_errors = len(wanted), len(got), 0
    while i or j:
        here = costs[i, j]
        if i and j and here == costs[i - 1, j - 1] + (wanted[i - 1] != got[j - 1]):
            i, j = i - 1, j - 1
            n_errors += wanted[i] != got[j] and wanted[i] not in terms
        elif i and here == costs[i - 1, j] + 1:
            i -= 1
            n_errors += wanted[i] not in terms
        else:
            j -= 1
            n_errors += 1
    return ErrorRate(int(n_errors), sum(word not in terms for word in wanted))


def spelt(number: int, recording: Recording) -> list[str]:
    """The spelling of each name that a list asks for: the usual and the other one in turn."""
    return [pair[(number + place) % 2] for place, pair in enumerate(recording.utterance.names)]


def scores(
    model: Any, recordings: Sequence[Recording], distractors: dict[str, Distractors], size: int,
    boost: float, heard: Callable[[Recording, str, Transcript], None],
) -> Score:  # fmt: skip
    """Of all recordings with lists of one size; `heard` is told each text."""
    score = Score()
    for number, one in enumerate(recordings):
        said = spelt(number, one)
        rng = np.random.default_rng([SEED, number])
        listed = distractors[one.group].list_for(said, size, rng)
        got = model.transcribe(
            one.samples, sample_rate=SAMPLE_RATE, keywords=listed, keyword_boost=boost
        )
        wanted = one.plain(one.utterance.language, said)
        score.add(wanted, said, got)
        heard(one, wanted, got)
    return score


def costs(terms: Sequence[str]) -> Iterator[tuple[int, float, float]]:
    """Number of terms, seconds of a processor for their index, and for each 30 s of audio."""
    rng = np.random.default_rng(SEED)
    letters = np.frombuffer(b"etaoinsrhldcumfpgwybvk ", np.uint8)
    logits = np.zeros((COST_FRAMES, 348), np.float32)
    logits[:, 0] = 5
    places = np.sort(rng.permutation(COST_FRAMES)[:450])  # fast speech
    logits[places, rng.choice(letters, len(places))] = 10
    for n in COST_SIZES:
        listed = _joined(terms, n, rng)
        began = time.process_time()
        index = index_of(listed, ())
        built = time.process_time()
        index.choose(logits, 50)
        yield len(listed), built - began, time.process_time() - built


def _joined(terms: Sequence[str], n: int, rng: np.random.Generator) -> tuple[str, ...]:
    """Different terms of one to three words, made of parts of others."""
    heads, tails = [term[:4] for term in terms], [term[-4:] for term in terms]
    drawn: dict[str, None] = {}
    while len(drawn) < n:
        words = [
            heads[int(rng.integers(len(heads)))] + tails[int(rng.integers(len(tails)))]
            for _ in range(int(rng.integers(1, 4)))
        ]
        drawn[" ".join(words)] = None
    return tuple(drawn)


def row(cells: Sequence[object]) -> None:
    """Of a table in Markdown."""
    print(f"| {' | '.join(map(str, cells))} |", flush=True)


def main() -> int:
    """Measure and print tables."""
    parser = argparse.ArgumentParser(description="Measure lists of keywords.")
    parser.add_argument("--work", type=Path, default=Path("demo/work"), help="of demo.corpus")
    parser.add_argument("--limit", type=int, metavar="N", help="recordings with names a language")
    parser.add_argument(
        "--skip", type=int, default=0, metavar="N",
        help="recordings with names a language; constants were chosen on the first 110",
    )  # fmt: skip
    parser.add_argument("--boosts", default="0", help="of terms, in nats")
    parser.add_argument("--sizes", default=",".join(map(str, SIZES)), help="of the lists")
    parser.add_argument("--texts", type=Path, help="write every wrong text to this file")
    parser.add_argument("--cost", action="store_true", help="what the search costs, and no more")
    args = parser.parse_args()
    pools = read_pools(args.work / "names.json")
    if args.cost:
        row(["terms", "index, s", "30 s of audio, s"])
        row(["---"] * 3)
        for n, index_s, search_s in costs([name for pair in pools.real["en"] for name in pair]):
            row([f"{n:,}", f"{index_s:.2f}", f"{search_s:.2f}"])
        return 0
    sizes = [int(size) for size in args.sizes.split(",")]
    by_language = {
        language: [r for r in read_set(args.work, language, None) if r.utterance.names]
        for language in ("en", "fr")
    }
    distractors = {
        language: Distractors(language, pools, found, max(sizes), SEED)
        for language, found in by_language.items()
    }
    recordings = [r for found in by_language.values() for r in found[args.skip :][: args.limit]]
    row(HEADINGS)
    row(["---"] * len(HEADINGS))
    wrong: list[str] = []
    with granite_mlx.load("demo", dtype="float32") as model:
        for size, boost in itertools.product(sizes, map(float, args.boosts.split(","))):

            def heard(one: Recording, wanted: str, got: Transcript, size: int = size) -> None:
                if got.text != wanted:
                    offered = ", ".join(k.term for k in got.keywords if k.offered)
                    wrong.append(f"{size}\t{one.name}\t{wanted}\t{got.text}\t{offered}\n")

            score = scores(model, recordings, distractors, size, boost, heard)
            row([f"{size:,}", f"{boost:g}", *score.row()])
    if args.texts:
        args.texts.write_text("".join(wrong))
    return 0


if __name__ == "__main__":
    sys.exit(main())
