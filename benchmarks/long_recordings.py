"""Long recordings against their utterances alone, and the memory they take.

    python -m benchmarks.long_recordings --work demo/work [--model FOLDER] [--limit N]
        [--sets en fr digits] [--cases "no pause at all"] [--minutes 2 120] [--json FILE]

The test sets of `demo.corpus`, which training never had, are joined to one recording a case: with
natural pauses, with none, and with silences, tones and noise between. The demo checkpoint listens
to each recording and to the utterances alone. Memory is that of a process of its own a length.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from difflib import SequenceMatcher
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

import granite_mlx
from benchmarks.tables import markdown
from demo.held_out import SETS, read_set
from demo.held_out import Recording as Utterance
from granite_mlx.bench.memory import peak_process_bytes
from granite_mlx.convert.manifest import versions
from granite_mlx.ctc import hearing
from granite_mlx.evaluate.error_rates import ErrorRate, word_errors, words
from granite_mlx.transcript import Segment, Transcript

RATE = 16_000
SEED = 20261127
TOUCHING_S = 0.03

Array = np.ndarray[Any, np.dtype[np.float32]]
Between = Callable[[np.random.Generator], Array]


def natural_pause(rng: np.random.Generator) -> Array:
    """Half a second to one and a half of room noise, 60 to 90 dB below full scale."""
    return _noise(rng, rng.uniform(0.5, 1.5), 10 ** rng.uniform(-4.5, -3))


def nothing(rng: np.random.Generator) -> Array:
    """No pause at all."""
    return np.zeros(0, np.float32)


def long_sounds(rng: np.random.Generator) -> Array:
    """2 to 12 s of silence, of a tone, or of noise as loud as speech, in a short silence."""
    duration_s = rng.uniform(2, 12)
    kind = rng.integers(3)
    if kind == 0:
        sound = np.zeros(int(duration_s * RATE), np.float32)
    elif kind == 1:
        t = np.arange(int(duration_s * RATE)) / RATE
        sound = (0.1 * np.sin(2 * np.pi * rng.uniform(100, 3000) * t)).astype(np.float32)
    else:
        sound = _noise(rng, duration_s, 10 ** rng.uniform(-3, -1))
    around = [np.zeros(int(rng.uniform(0.2, 1) * RATE), np.float32) for _ in range(2)]
    return np.concatenate([around[0], sound, around[1]])


def _noise(rng: np.random.Generator, duration_s: float, level: float) -> Array:
    return (level * rng.standard_normal(int(duration_s * RATE))).astype(np.float32)


NO_PAUSE = "no pause at all"
CASES: dict[str, Between] = {
    "natural pauses": natural_pause,
    NO_PAUSE: nothing,
    "silences, tones, noise": long_sounds,
}


@dataclass(frozen=True)
class Row:
    """One long recording.

    Attributes:
        alone, joined: word errors of the utterances alone and of the long recording.
        n_seams: borders of segments without a pause between.
        n_missing, n_excess: words at those that the utterances alone have more, and less.
        n_invented: segments where nobody speaks.
    """

    case: str
    group: str
    way: str
    duration_s: float
    alone: ErrorRate
    joined: ErrorRate
    n_segments: int
    n_seams: int
    n_missing: int
    n_excess: int
    n_invented: int


def measure(
    model: granite_mlx.GraniteSpeech,
    group: str,
    utterances: Sequence[Utterance],
    cases: Sequence[str] = (*CASES,),
) -> Iterator[Row]:
    """The cases of one set; without a pause also what the character head alone makes of it."""
    texts = _alone(model, utterances, "exact")
    for case in cases:
        yield _row(model, case, group, utterances, texts, "exact")
    if NO_PAUSE in cases:
        with head_alone():
            texts = _alone(model, utterances, "relaxed")
            yield _row(model, NO_PAUSE, group, utterances, texts, "relaxed")


@contextmanager
def head_alone() -> Iterator[None]:
    """With `relaxed` drafts, the character head's text then always stands."""
    before = hearing.HIGHEST_ENTROPY
    hearing.HIGHEST_ENTROPY = float("inf")
    try:
        yield
    finally:
        hearing.HIGHEST_ENTROPY = before


def _alone(
    model: granite_mlx.GraniteSpeech, utterances: Sequence[Utterance], way: Any
) -> list[str]:
    results = model.transcribe_batch(
        [one.samples for one in utterances], sample_rate=RATE, speculative=way
    )
    return [_checked(one).text for one in results]


def _checked(result: Any) -> Transcript:
    if not isinstance(result, Transcript):
        raise result
    return result


def _row(
    model: granite_mlx.GraniteSpeech,
    case: str,
    group: str,
    utterances: Sequence[Utterance],
    texts: Sequence[str],
    way: Any,
) -> Row:
    samples, spoken = joined(utterances, CASES[case])
    found = model.transcribe(samples, sample_rate=RATE, speculative=way)
    wanted = [one.plain(one.utterance.language) for one in utterances]
    alone = sum(map(word_errors, wanted, texts), ErrorRate())
    missing, excess = at_seams(" ".join(texts), found.segments)
    return Row(
        case,
        group,
        "decoder" if way == "exact" else "character head alone",
        len(samples) / RATE,
        alone,
        word_errors(" ".join(wanted), found.text),
        len(found.segments),
        len(seams(found.segments)),
        missing,
        excess,
        sum(not any(_overlap_s(one, span) > 0 for span in spoken) for one in found.segments),
    )


def joined(
    utterances: Sequence[Utterance], between: Between
) -> tuple[Array, list[tuple[float, float]]]:
    """One recording, and from when to when each utterance is in it."""
    rng = np.random.default_rng(SEED)
    parts, spans, n = [], [], 0
    for one in utterances:
        gap = between(rng)
        spans.append((n / RATE, (n + len(one.samples)) / RATE))
        parts += [one.samples, gap]
        n += len(one.samples) + len(gap)
    return np.concatenate(parts), spans


def _overlap_s(segment: Segment, span: tuple[float, float]) -> float:
    return min(segment.end_s, span[1]) - max(segment.start_s, span[0])


def seams(segments: Sequence[Segment]) -> list[int]:
    """Behind how many words two segments touch."""
    places, n = [], 0
    for before, after in pairwise(segments):
        n += len(words(before.text))
        if abs(after.start_s - before.end_s) < TOUCHING_S:
            places.append(n)
    return places


def at_seams(wanted: str, segments: Sequence[Segment]) -> tuple[int, int]:
    """Words at seams that are missing and that are too many, against another text."""
    got = words(" ".join(one.text for one in segments))
    at = seams(segments)
    missing = excess = 0
    matcher = SequenceMatcher(None, words(wanted), got, autojunk=False)
    for kind, first, last, start, end in matcher.get_opcodes():
        if kind != "equal" and any(start <= place <= end for place in at):
            missing += max(0, (last - first) - (end - start))
            excess += max(0, (end - start) - (last - first))
    return missing, excess


@dataclass(frozen=True)
class Memory:
    """What one recording took."""

    minutes: float
    seconds: float
    peak_bytes: int
    n_segments: int


def memory(work: Path, minutes: float, name: str = "demo") -> Memory:
    """Of a recording of so many minutes, in this process, which should have done nothing else."""
    utterances = [one for group in SETS for one in read_set(work, group, 40)]
    samples, _ = joined(utterances, natural_pause)
    with tempfile.NamedTemporaryFile(suffix=".flac") as file:
        with soundfile.SoundFile(file.name, "w", RATE, 1) as sound:
            left = int(minutes * 60 * RATE)
            while left > 0:
                sound.write(samples[:left])
                left -= len(samples)
        with granite_mlx.load(name) as model:
            start = time.perf_counter()
            n_segments = sum(1 for _ in model.stream(file.name))
            seconds = time.perf_counter() - start
    return Memory(minutes, seconds, peak_process_bytes(), n_segments)


def in_a_process(work: Path, minutes: float, name: str = "demo") -> Memory:
    """The same in a new one."""
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=spawn) as executor:
        return executor.submit(memory, work, minutes, name).result()


def table(rows: Sequence[Row]) -> str:
    """What was measured, in Markdown."""
    head = ["case", "set", "text of", "length", "WER alone", "WER joined"]
    head += ["segments", "seams", "words missing there", "too many there", "invented"]
    return markdown(head, map(_cells, rows))


def _cells(row: Row) -> list[str]:
    counts = (row.n_segments, row.n_seams, row.n_missing, row.n_excess, row.n_invented)
    return [
        row.case,
        row.group,
        row.way,
        f"{row.duration_s / 60:.1f} min",
        _percent(row.alone),
        _percent(row.joined),
        *map(str, counts),
    ]


def _percent(rate: ErrorRate) -> str:
    return f"{rate.percent:.2f} % ({rate.n_errors} of {rate.n_wanted})"


def memory_table(rows: Sequence[Memory]) -> str:
    """Likewise."""
    return markdown(
        ["length", "time", "peak memory", "segments"],
        (
            [
                f"{one.minutes:g} min", f"{one.seconds:.0f} s", f"{one.peak_bytes / 1e6:.0f} MB",
                str(one.n_segments),
            ]
            for one in rows
        ),
    )  # fmt: skip


def facts() -> Mapping[str, str]:
    """What the figures depend on."""
    return dict(versions())


def main() -> int:
    """Measure and print the tables."""
    parser = argparse.ArgumentParser(description="Measure long recordings on the demo checkpoint.")
    parser.add_argument("--work", type=Path, default=Path("demo/work"), help="of demo.corpus")
    parser.add_argument("--limit", type=int, metavar="N", help="recordings of each set")
    parser.add_argument(
        "--minutes",
        type=float,
        nargs="*",
        default=[2, 120],
        help="lengths whose memory is measured",
    )
    parser.add_argument("--sets", nargs="*", choices=SETS, default=[*SETS], help="of the corpus")
    parser.add_argument("--model", default="demo", help="as granite_mlx.load takes it")
    parser.add_argument("--cases", nargs="*", choices=CASES, default=[*CASES])
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the counts here, too")
    args = parser.parse_args()
    taken = []
    for minutes in args.minutes:
        taken.append(in_a_process(args.work, minutes, args.model))
        print(taken[-1], file=sys.stderr)
    rows = []
    with granite_mlx.load(args.model) as model:
        for group in args.sets:
            utterances = read_set(args.work, group, args.limit)
            for row in measure(model, group, utterances, args.cases):
                rows.append(row)
                print(" | ".join(_cells(row)), file=sys.stderr, flush=True)
    print("\n\n".join([table(rows), memory_table(taken)]))
    if args.json is not None:
        found = {
            "facts": facts(),
            "rows": [asdict(row) for row in rows],
            "memory": [asdict(one) for one in taken],
        }
        args.json.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
