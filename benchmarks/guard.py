"""What the guard does to real answers: nothing that was said may go.

    python -m benchmarks.guard --work demo/work [--limit N]

The demo checkpoint listens to its held-out recordings, clean and in noise, clipped and very quiet,
to words that are said again and again, and to silence, noise, tones and babble. Printed is what the
guard left out or named, the wrong words of the texts it judged before and after that, and how many
answers it took for loops. Exits with 1 if it left out a word of a recording, clean or in noise, or
if what stands in place of a loop has more wrong words than the loop had.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from unittest.mock import patch

import granite_mlx
from benchmarks.hard_sounds import (
    Sound,
    babble,
    clean,
    clipped,
    in_noise,
    quiet,
    repeated,
    silence_and_noise,
    tones,
)
from benchmarks.tables import line, markdown
from demo.held_out import SETS, Recording, read_set
from demo.speech import SAMPLE_RATE
from granite_mlx import writing
from granite_mlx.ctc.certainty import Certainty
from granite_mlx.decoding.generate import Generated
from granite_mlx.decoding.guard import Guarded
from granite_mlx.decoding.prompts import Task
from granite_mlx.decoding.retries import LoopGuard
from granite_mlx.evaluate.error_rates import word_errors
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
    n_words_put_in: int = 0
    n_wrong: int = 0  # words, by the decoder alone
    n_wrong_now: int = 0
    n_loops: int = 0
    n_made_worse: int = 0  # of those
    codes: Counter[str] = field(default_factory=Counter)

    def add(self, said: str, text: str, found: Guarded) -> None:
        """What was said, and a text before and after."""
        self.n_wrong += word_errors(said, text).n_errors
        self.n_wrong_now += word_errors(said, found.text).n_errors
        self.n_texts += bool(text)
        self.n_words += len(text.split())
        before, after = Counter(text.split()), Counter(found.text.split())
        self.n_words_left_out += (before - after).total()
        self.n_words_put_in += (after - before).total()
        self.codes.update(concern.code for concern in found.concerns)


@contextmanager
def answers_seen() -> Iterator[list[Generated]]:
    """Within this, each answer before the head's text may take its place."""
    seen: list[Generated] = []
    settle = LoopGuard.settled

    def settled(self: LoopGuard, answer: Generated, budget: int) -> Generated:
        seen.append(answer)
        return settle(self, answer, budget)

    LoopGuard.settled = settled  # type: ignore[method-assign]
    try:
        yield seen
    finally:
        LoopGuard.settled = settle  # type: ignore[method-assign]


def read_once() -> AbstractContextManager[object]:
    """Within this, no piece is read again in smaller ones: each is judged once."""
    return patch("granite_mlx.listening.is_doubtful", return_value=False)


@contextmanager
def judgements() -> Iterator[list[tuple[str, Guarded]]]:
    """Within this, each text as the decoder wrote it, and what its witness left of it."""
    seen: list[tuple[str, Guarded]] = []
    judge = writing.before_witness

    def judged(
        segments: tuple[Segment, ...],
        labels: Sequence[int],
        task: Task,
        boosted: Sequence[str] = (),
        certainty: Callable[[], Sequence[Certainty]] | None = None,
        is_whole: bool = True,
    ) -> Guarded | None:
        kept = judge(segments, labels, task, boosted, certainty, is_whole)
        if kept is not None and segments:
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
    """Name of a set, whether all of its words can be heard, and what became of it."""
    all_of_them: list[Recording] = []
    for group in SETS:
        recordings = read_set(work, group, limit)
        yield f"{group}, clean", True, account(model, clean(recordings))
        yield f"{group}, noisy", True, account(model, in_noise(recordings, SEED))
        yield f"{group}, clipped", False, account(model, clipped(recordings))
        yield f"{group}, very quiet", False, account(model, quiet(recordings))
        all_of_them += recordings
    yield "said again and again", False, account(model, repeated(SEED))
    yield "silence and noise", False, account(model, silence_and_noise(SEED, N_SILENCES))
    yield "tones", False, account(model, tones(SEED, N_SILENCES))
    yield "babble", False, account(model, babble(all_of_them, SEED, N_SILENCES))


def account(model: GraniteSpeech, sounds: Iterable[Sound]) -> Account:
    """Of some sounds; what the guard had to say is told."""
    total = Account()
    with read_once(), judgements() as seen, answers_seen() as answers:
        for sound in sounds:
            answers.clear()
            seen.clear()
            found = model.transcribe(sound.samples, sample_rate=SAMPLE_RATE, word_times="off")
            if any(one.looped or one.way != "asked" for one in answers):
                total.n_loops += 1
                total.n_made_worse += is_worse(found.text, model, sound)
            # A recording with a pause in it is several texts.
            text = " ".join(one for one, _ in seen)
            concerns = tuple(concern for _, kept in seen for concern in kept.concerns)
            total.add(sound.said, text, Guarded(" ".join(kept.text for _, kept in seen), concerns))
            for concern in concerns:
                print(f"  {concern.message}", file=sys.stderr)
    return total


def is_worse(text: str, model: GraniteSpeech, sound: Sound) -> bool:
    """Whether what stands in place of a loop has more wrong words than the loop had."""
    loop = model.transcribe(sound.samples, sample_rate=SAMPLE_RATE, guard="off", word_times="off")
    print(f"  {sound.said!r} was written as {loop.text!r}, now {text!r}", file=sys.stderr)
    before, now = (word_errors(sound.said, one).n_errors for one in (loop.text, text))
    return now > before


def main() -> int:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description="Measure the guard on held-out recordings.")
    parser.add_argument("--work", type=Path, default=Path("demo/work"), help="of demo.corpus")
    parser.add_argument("--limit", type=int, metavar="N", help="recordings of each set")
    args = parser.parse_args()
    lost = 0
    head = [
        "recordings",
        "texts",
        "words",
        "left out",
        "put in",
        "wrong before",
        "and after",
        "named",
        "loops",
    ]
    print(markdown(head, []))
    with granite_mlx.load("demo", dtype="float32") as model:
        for name, is_speech, found in accounts(model, args.work, args.limit):
            named = ", ".join(f"{code} {n}" for code, n in sorted(found.codes.items()))
            cells = [
                name, found.n_texts, found.n_words, found.n_words_left_out,
                found.n_words_put_in, found.n_wrong,
                found.n_wrong_now, named, found.n_loops,
            ]  # fmt: skip
            print(line(map(str, cells)), flush=True)
            lost += found.n_made_worse + (found.n_words_left_out if is_speech else 0)
    return int(lost > 0)


if __name__ == "__main__":
    sys.exit(main())
