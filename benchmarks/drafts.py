"""What drafts are worth: tokens a second with drafts that are right so and so often.

    python -m benchmarks.drafts [--model full-size | demo | FOLDER] [--seconds S] [--tokens N]
                                [--runs N] [--json FILE]

The plain greedy text of a recording is written first. A draft is a copy of it in which each token
is right with probability p, independently of the others, and otherwise another one at random. The
decoder must write the plain text whatever the draft says. Drafts that are never right show what
trying them costs. Exits with 1 if a text came out otherwise.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import mlx.core as mx

from benchmarks.models import Model, add_model_arguments, asked_model, loaded_endless
from benchmarks.report import number
from benchmarks.tables import markdown
from granite_mlx.bench.machine import this_machine
from granite_mlx.bench.spread import Spread, spread
from granite_mlx.bench.stages import prompt_of, timed_answer
from granite_mlx.bench.wav import example_speech
from granite_mlx.decoding.batch import Question
from granite_mlx.decoding.drafts import Draft, NoDraft
from granite_mlx.engine import shared_thread
from granite_mlx.speech import GraniteSpeech

PROBABILITIES = (1.0, 0.95, 0.9, 0.8, 0.5, 0.0)
N_TOKENS = 128
SECONDS = 10.0
SEED = 20261127


class CorruptedDraft:
    """A text of which each token is right with probability `right`."""

    def __init__(self, ids: Sequence[int], right: float, vocab_size: int, seed: int) -> None:
        chance = random.Random(seed)
        self.ids = [
            token
            if chance.random() < right
            else (token + chance.randrange(1, vocab_size)) % vocab_size
            for token in ids
        ]

    def propose(self, emitted: Sequence[int], n_most: int) -> list[int]:
        """What stands behind as many tokens as were emitted: a correction is one for one."""
        return self.ids[len(emitted) : len(emitted) + n_most]


@dataclass(frozen=True)
class Written:
    """One text: when its first tokens were there and its last, and in how many readings."""

    ids: tuple[int, ...]
    first_s: float
    total_s: float
    n_readings: int


@dataclass(frozen=True)
class Row:
    """Texts with one kind of draft; `right` is None for plain decoding.

    `tokens_per_s` is without the time of a plain prefill, in which a first draft is verified too.
    """

    right: float | None
    tokens_per_s: Spread
    times_plain: float
    n_readings: int
    is_plain_text: bool


def write(speech: GraniteSpeech, prompt: mx.array, n_tokens: int, draft: Draft) -> Written:
    """A text of `n_tokens` tokens, with a draft."""
    generated, times_s = timed_answer(speech, Question(prompt, n_tokens, draft))
    return Written(generated.ids, times_s[0], times_s[-1], len(times_s))


def measure(
    speech: GraniteSpeech, seconds: float, n_tokens: int, n_runs: int
) -> Iterator[tuple[float | None, Written]]:
    """Every kind of draft in turn, plain decoding first, `n_runs` times. On the MLX thread."""
    prompt = prompt_of(speech, example_speech(seconds))
    plain = write(speech, prompt, n_tokens, NoDraft())  # which is the warm-up as well
    vocab_size = speech.config.text.vocab_size
    for run in range(n_runs):
        yield None, write(speech, prompt, n_tokens, NoDraft())
        for right in PROBABILITIES:
            draft = CorruptedDraft(plain.ids, right, vocab_size, SEED + run)
            yield right, write(speech, prompt, n_tokens, draft)


def rows(written: Sequence[tuple[float | None, Written]]) -> list[Row]:
    """Figures of all runs by kind of draft."""
    plain = [one for right, one in written if right is None]
    prefill_s = spread(one.first_s for one in plain).median
    plain_rate = spread(rate(one, prefill_s) for one in plain).median
    found = []
    for right in (None, *PROBABILITIES):
        mine = [one for kind, one in written if kind == right]
        if not mine:
            continue
        rates = spread(rate(one, prefill_s) for one in mine)
        same = all(one.ids == plain[0].ids for one in mine)
        found.append(Row(right, rates, rates.median / plain_rate, mine[0].n_readings, same))
    return found


def rate(written: Written, prefill_s: float) -> float:
    """Tokens a second behind the first one."""
    return (len(written.ids) - 1) / (written.total_s - prefill_s)


def table(found: Sequence[Row]) -> str:
    """In Markdown."""
    head = ["a token is right", "tokens/s", "times plain", "readings", "the plain text"]
    lines = []
    for row in found:
        kind = "plain decoding" if row.right is None else f"{row.right:g}"
        cells = [kind, number(row.tokens_per_s.median), f"{row.times_plain:.2f}"]
        lines.append([*cells, str(row.n_readings), "yes" if row.is_plain_text else "NO"])
    return markdown(head, lines)


def collected(model: Model, args: argparse.Namespace) -> list[tuple[float | None, Written]]:
    """All runs of the command line, each told as it is done."""

    def work(speech: GraniteSpeech) -> list[tuple[float | None, Written]]:
        written = []
        for right, one in measure(speech, args.seconds, args.tokens, args.runs):
            kind = "plain" if right is None else f"p = {right:g}"
            print(f"{kind}: {one.total_s:.1f} s", file=sys.stderr, flush=True)
            written.append((right, one))
        return written

    with loaded_endless(model) as speech:
        return shared_thread().run(work, speech)


def main() -> int:
    """Measure, print the table, and write the JSON that it comes from."""
    parser = argparse.ArgumentParser(description="Measure what drafts are worth.")
    add_model_arguments(parser)
    parser.add_argument("--seconds", type=float, default=SECONDS, help="of audio (%(default)s)")
    parser.add_argument("--tokens", type=int, default=N_TOKENS, help="of each text (%(default)s)")
    parser.add_argument("--runs", type=int, default=1, help="(%(default)s)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures here, too")
    args = parser.parse_args()
    model = asked_model(args)
    found = rows(collected(model, args))
    print(table(found))
    if args.json is not None:
        content = {
            "machine": asdict(this_machine()), "model": model.name, "dtype": model.dtype,
            "seconds": args.seconds, "tokens": args.tokens, "rows": [asdict(row) for row in found],
        }  # fmt: skip
        args.json.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    return int(not all(row.is_plain_text for row in found))


if __name__ == "__main__":
    sys.exit(main())
