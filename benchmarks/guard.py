"""What the guard does to real answers: nothing that was said may go.

    python -m benchmarks.guard --work demo/work [--limit N]

The demo checkpoint listens to its held-out recordings, clean and in noise, and to silence and noise
alone. Printed is what the guard left out or named; exits with 1 if it left out a word of a
recording in which something is said.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

import granite_mlx
from benchmarks.tables import line, markdown
from demo.held_out import SETS, noisy, nothing_said, read_set
from demo.speech import SAMPLE_RATE
from granite_mlx import writing
from granite_mlx.decoding.guard import Guarded
from granite_mlx.decoding.prompts import Task
from granite_mlx.speech import GraniteSpeech
from granite_mlx.transcript import Segment

SEED = 20261127
N_SILENCES = 40


@dataclass
class Account:
    """What became of the texts of a set."""

    n_texts: int = 0
    n_words: int = 0
    n_words_left_out: int = 0
    codes: Counter[str] = field(default_factory=Counter)

    def add(self, text: str, found: Guarded) -> None:
        """One text before and after."""
        self.n_texts += bool(text)
        self.n_words += len(text.split())
        self.n_words_left_out += len(text.split()) - len(found.text.split())
        self.codes.update(concern.code for concern in found.concerns)


@contextmanager
def judgements() -> Iterator[list[tuple[str, Guarded]]]:
    """Within this, each text as the decoder wrote it, and what its witness left of it."""
    seen: list[tuple[str, Guarded]] = []
    judge = writing.before_witness

    def judged(segments: tuple[Segment, ...], labels: Sequence[int], task: Task) -> Guarded | None:
        kept = judge(segments, labels, task)
        if kept is not None:
            seen.append((segments[0].text, kept))
        return kept

    writing.before_witness = judged
    try:
        yield seen
    finally:
        writing.before_witness = judge


def accounts(
    model: GraniteSpeech, work: Path, limit: int | None
) -> Iterator[tuple[str, bool, Account]]:
    """Name of a set, whether anything is said in it, and what became of it."""
    for group in SETS:
        recordings = read_set(work, group, limit)
        yield f"{group}, clean", True, account(model, (one.samples for one in recordings))
        rough = (noisy(one, SEED).samples for one in recordings)
        yield f"{group}, noisy", True, account(model, rough)
    yield "silence and noise", False, account(model, nothing_said(SEED, N_SILENCES))


def account(model: GraniteSpeech, recordings: Iterable[np.ndarray]) -> Account:
    """Of some recordings; what the guard had to say is told."""
    total = Account()
    with judgements() as seen:
        for samples in recordings:
            model.transcribe(samples, sample_rate=SAMPLE_RATE, word_times="off")
    for text, found in seen:
        for concern in found.concerns:
            print(f"  {concern.message}", file=sys.stderr)
        total.add(text, found)
    return total


def main() -> int:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description="Measure the guard on held-out recordings.")
    parser.add_argument("--work", type=Path, default=Path("demo/work"), help="of demo.corpus")
    parser.add_argument("--limit", type=int, metavar="N", help="recordings of each set")
    args = parser.parse_args()
    lost = 0
    print(markdown(["recordings", "texts", "words", "left out", "named"], []))
    with granite_mlx.load("demo", dtype="float32") as model:
        for name, is_speech, found in accounts(model, args.work, args.limit):
            named = ", ".join(f"{code} {n}" for code, n in sorted(found.codes.items()))
            cells = [name, found.n_texts, found.n_words, found.n_words_left_out, named]
            print(line(map(str, cells)), flush=True)
            lost += found.n_words_left_out if is_speech else 0
    return int(lost > 0)


if __name__ == "__main__":
    sys.exit(main())
