"""What the three ways of using drafts write, and how often they call the decoder.

    python -m benchmarks.draft_modes --work demo/work [--limit N] [--docs FILE]

The demo checkpoint listens to the test sets of `demo.corpus`, which training never had, in float32.
`exact` has to write what `off` writes, letter by letter: otherwise this exits with 1.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import mlx.core as mx

import granite_mlx
from benchmarks.tables import block_writer, markdown
from demo.held_out import SETS, Recording, read_set
from demo.speech import SAMPLE_RATE
from granite_mlx.convert.manifest import versions
from granite_mlx.decoding.speculative import SPECULATIVE, Speculative
from granite_mlx.evaluate.error_rates import ErrorRate, word_errors
from granite_mlx.model.cache import Cache
from granite_mlx.model.decoder import GraniteDecoder
from granite_mlx.speech import GraniteSpeech

BLOCK = "drafts"
GROUPS = {"en": "English", "fr": "French", "digits": "digits"}


@dataclass(frozen=True)
class Row:
    """All recordings in one way; `n_calls` are the decoder's, the prompts' included."""

    mode: Speculative
    texts: tuple[str, ...]
    words: Mapping[str, ErrorRate]
    n_calls: int
    wall_s: float


class Calls:
    """Counts the calls of a decoder."""

    def __init__(self) -> None:
        self.n = 0


@contextmanager
def counted_calls() -> Iterator[Calls]:
    """Within this, every call of any decoder counts."""
    calls, original = Calls(), GraniteDecoder.__call__

    def counting(decoder: GraniteDecoder, embeddings: mx.array, cache: Cache) -> mx.array:
        calls.n += 1
        return original(decoder, embeddings, cache)

    GraniteDecoder.__call__ = counting  # type: ignore[method-assign, assignment]
    try:
        yield calls
    finally:
        GraniteDecoder.__call__ = original  # type: ignore[method-assign]


def measure(model: GraniteSpeech, recordings: Sequence[Recording]) -> Iterator[Row]:
    """The plain way first, then the two with drafts."""
    for mode in reversed(SPECULATIVE):
        words = dict.fromkeys(GROUPS, ErrorRate())
        texts = []
        start_s = time.perf_counter()
        with counted_calls() as calls:
            for one in recordings:
                heard = model.transcribe(one.samples, sample_rate=SAMPLE_RATE, speculative=mode)
                texts.append(heard.text)
        wall_s = time.perf_counter() - start_s
        for one, text in zip(recordings, texts, strict=True):
            words[one.group] += word_errors(one.plain(one.utterance.language), text)
        yield Row(mode, tuple(texts), words, calls.n, wall_s)


def table(rows: Sequence[Row]) -> str:
    """In Markdown; the first row is the plain one."""
    head = ["speculative", *(f"WER {name}" for name in GROUPS.values())]
    head += ["same text as off", "calls of the decoder"]
    lines = []
    for row in rows:
        rates = (row.words[group] for group in GROUPS)
        cells = [f"{rate.percent:.2f} %" if rate.n_wanted else "" for rate in rates]
        n_same = sum(a == b for a, b in zip(rows[0].texts, row.texts, strict=True))
        lines.append([row.mode, *cells, f"{n_same} of {len(row.texts)}", f"{row.n_calls:,}"])
    return markdown(head, lines)


def caption(recordings: Sequence[Recording]) -> str:
    """What was measured, on what and with what."""
    counts = (f"{sum(r.group == g for r in recordings)} {name}" for g, name in GROUPS.items())
    of = ", ".join(f"{name} {version}" for name, version in versions().items())
    return f"The demo checkpoint in float32 over {' + '.join(counts)} held-out recordings; {of}."


def main() -> int:
    """Measure, print the table, and put it where it is wanted."""
    parser = argparse.ArgumentParser(description="Compare the ways of using drafts.")
    parser.add_argument("--work", type=Path, default=Path("demo/work"), help="of demo.corpus")
    parser.add_argument("--limit", type=int, metavar="N", help="recordings of each set")
    parser.add_argument("--docs", type=Path, metavar="FILE", help="put the table into this one")
    args = parser.parse_args()
    write = block_writer(args.docs, BLOCK)
    recordings = [one for group in SETS for one in read_set(args.work, group, args.limit)]
    rows = []
    with granite_mlx.load("demo", dtype="float32") as model:
        for row in measure(model, recordings):
            print(f"{row.mode}: {row.n_calls} calls, {row.wall_s:.0f} s", file=sys.stderr)
            rows.append(row)
    block = f"{table(rows)}\n\n{caption(recordings)}"
    print(block)
    write(block)
    off, exact = (next(r for r in rows if r.mode == mode) for mode in ("off", "exact"))
    return int(off.texts != exact.texts)


if __name__ == "__main__":
    sys.exit(main())
