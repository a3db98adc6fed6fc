"""What batches are worth: segments decoded together and one at a time, and as a whole.

    python -m benchmarks.batches [--model full-size | demo | FOLDER] [--rows N] [--seconds S]
                                 [--tokens N] [--singles N] [--contender mlx-audio] [--json FILE]

Every text has as many tokens as `--tokens` says, without drafts. `--singles` of the segments are
decoded one at a time, to see how fast that is. A contender hears all segments one by one, in a
process of its own. Exits with 1 if a batch's texts are others than those of single segments, which
in half precision may be.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import mlx.core as mx
import numpy as np

from benchmarks.contenders.known import Contender, built_in, chosen
from benchmarks.contenders.protocol import Request
from benchmarks.models import Model, add_model_arguments, asked_model, loaded_endless
from benchmarks.report import number
from benchmarks.tables import markdown
from benchmarks.worker_process import ROOT, WorkerProcess
from granite_mlx.bench.machine import this_machine
from granite_mlx.bench.stages import prompt_of, timed_answer
from granite_mlx.bench.wav import SAMPLE_RATE, example_speech, write_wav
from granite_mlx.decoding.batch import Question, answers
from granite_mlx.engine import shared_thread
from granite_mlx.ranges import Range
from granite_mlx.segments.limits import SegmentLimits
from granite_mlx.speech import GraniteSpeech

if TYPE_CHECKING:
    from granite_mlx.bench.wav import Samples

N_ROWS, SECONDS, N_TOKENS, N_SINGLES = 8, 10.0, 32, 2
LIMIT_S = 3600.0


@dataclass(frozen=True)
class Decoding:
    """Prompts answered together, or one at a time.

    Attributes:
        tokens_per_s: of all rows, behind the first token of each.
        peak_bytes: that MLX held meanwhile, weights included.
    """

    n_rows: int
    tokens_per_s: float
    peak_bytes: int
    ids: tuple[tuple[int, ...], ...]


@dataclass(frozen=True)
class Whole:
    """All segments from samples to text."""

    way: str
    total_s: float
    rtfx: float


def segments(n_rows: int, seconds: float) -> list[Samples]:
    """Pieces of one recording, each of the same length and with other speech."""
    return list(np.split(example_speech(n_rows * seconds), n_rows))


def decode_one_by_one(
    speech: GraniteSpeech, prompts: Sequence[mx.array], n_tokens: int
) -> Decoding:
    """On the MLX thread."""
    mx.reset_peak_memory()
    ids, decode_s = [], 0.0
    for prompt in prompts:
        generated, times_s = timed_answer(speech, Question(prompt, n_tokens))
        ids.append(generated.ids)
        decode_s += times_s[-1] - times_s[0]
    n_decoded = len(prompts) * (n_tokens - 1)
    return Decoding(1, n_decoded / decode_s, mx.get_peak_memory(), tuple(ids))


def decode_together(speech: GraniteSpeech, prompts: Sequence[mx.array], n_tokens: int) -> Decoding:
    """On the MLX thread."""
    mx.reset_peak_memory()
    first_s: dict[int, float] = {}
    last_s = 0.0

    def noted(row: int) -> Question:
        def on_tokens(n_written: int) -> None:
            nonlocal last_s
            last_s = time.perf_counter()
            first_s.setdefault(row, last_s)

        return Question(prompts[row], n_tokens, on_tokens=on_tokens)

    decoder, text = speech.network.language_model, speech.config.text
    questions = [noted(row) for row in range(len(prompts))]
    done = dict(answers(decoder, text, questions, len(prompts)))
    decode_s = last_s - max(first_s.values())
    n_decoded = len(prompts) * (n_tokens - 1)
    ids = tuple(done[row].ids for row in range(len(prompts)))
    return Decoding(len(prompts), n_decoded / decode_s, mx.get_peak_memory(), ids)


def transcribe_one_by_one(speech: GraniteSpeech, heard: Sequence[Samples], n_tokens: int) -> float:
    """Seconds for all of them."""
    start_s = time.perf_counter()
    for samples in heard:
        speech.transcribe(
            samples, sample_rate=SAMPLE_RATE, max_new_tokens=n_tokens, speculative="off"
        )
    return time.perf_counter() - start_s


def transcribe_together(speech: GraniteSpeech, heard: Sequence[Samples], n_tokens: int) -> float:
    """Likewise."""
    start_s = time.perf_counter()
    found = speech.transcribe_batch(
        heard, sample_rate=SAMPLE_RATE, max_new_tokens=n_tokens, speculative="off",
        batch_size=len(heard),
    )  # fmt: skip
    total_s = time.perf_counter() - start_s
    for one in found:
        if isinstance(one, Exception):
            raise one
    return total_s


def transcribe_long(
    speech: GraniteSpeech, heard: Sequence[Samples], n_tokens: int, n_rows: int
) -> float:
    """Seconds for all of them as the segments of one recording, `n_rows` at a time."""
    seconds = len(heard[0]) / SAMPLE_RATE
    start_s = time.perf_counter()
    found = speech.transcribe(
        np.concatenate(heard), sample_rate=SAMPLE_RATE, max_new_tokens=n_tokens, speculative="off",
        batch_size=n_rows,
        # A segment ends where a range does, and nowhere else.
        ranges=[Range(n * seconds, (n + 1) * seconds) for n in range(len(heard))],
        segments=SegmentLimits.at_once(seconds),
    )  # fmt: skip
    total_s = time.perf_counter() - start_s
    if len(found.segments) != len(heard):
        raise RuntimeError(f"{len(heard)} segments became {len(found.segments)}.")
    return total_s


def contender_one_by_one(
    contender: Contender, model: Model, heard: Sequence[Samples], n_tokens: int
) -> float:
    """Seconds that a contender takes for all of them, one after the other, warm."""
    with tempfile.TemporaryDirectory() as parent:
        folder = Path(parent)
        worker = WorkerProcess(contender, folder / "log")
        try:
            worker.load(str(model.folder), model.dtype, LIMIT_S)
            total_s = []
            for n, samples in enumerate([heard[0], *heard]):  # the first one twice: a warm-up
                write_wav(folder / f"{n}.wav", samples)
                seconds = len(samples) / SAMPLE_RATE
                request = Request(folder / f"{n}.wav", seconds, n_tokens, forced=True)
                answer = worker.measure("end_to_end", request, LIMIT_S)
                total_s.append(answer.values["total_s"])
        finally:
            worker.kill()
    return sum(total_s[1:])


def row_bytes(single: Decoding, together: Decoding) -> float:
    """What one row more takes."""
    return (together.peak_bytes - single.peak_bytes) / (together.n_rows - single.n_rows)


def same_texts(single: Decoding, together: Decoding) -> bool:
    """Whether those that were decoded both ways came out alike."""
    return all(one == other for one, other in zip(single.ids, together.ids, strict=False))


def report(single: Decoding, together: Decoding, wholes: Sequence[Whole]) -> str:
    """Two tables in Markdown, and what a row takes."""
    decodings = []
    for decoding in (single, together):
        way = "one at a time" if decoding.n_rows == 1 else f"{decoding.n_rows} together"
        times = decoding.tokens_per_s / single.tokens_per_s
        decodings.append([way, number(decoding.tokens_per_s), f"{times:.2f}"])
    ends = [[one.way, number(one.total_s), number(one.rtfx)] for one in wholes]
    same = "the same" if same_texts(single, together) else "OTHERS"
    return "\n\n".join(
        [
            markdown(["decoding", "tokens/s", "times"], decodings),
            markdown(["end to end", "s", "RTFx"], ends),
            f"A row takes {row_bytes(single, together) / 1e6:.0f} MB. Texts: {same}.",
        ]
    )


def measure_decoding(
    speech: GraniteSpeech, heard: Sequence[Samples], n_tokens: int, n_singles: int
) -> tuple[Decoding, Decoding]:
    """One at a time, and together. On the MLX thread."""
    prompts = [prompt_of(speech, samples) for samples in heard]
    decode_one_by_one(speech, prompts[:1], 2)  # a warm-up
    single = decode_one_by_one(speech, prompts[:n_singles], n_tokens)
    return single, decode_together(speech, prompts, n_tokens)


def main() -> int:
    """Measure, print the tables, and write the JSON that they come from."""
    parser = argparse.ArgumentParser(description="Measure what batches are worth.")
    add_model_arguments(parser)
    parser.add_argument("--rows", type=int, default=N_ROWS, help="(%(default)s)")
    parser.add_argument("--seconds", type=float, default=SECONDS, help="of each (%(default)s)")
    parser.add_argument("--tokens", type=int, default=N_TOKENS, help="of each text (%(default)s)")
    parser.add_argument("--singles", type=int, default=N_SINGLES, help="(%(default)s)")
    parser.add_argument("--contender", action="append", default=[], metavar="NAME")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures here, too")
    args = parser.parse_args()
    model, heard = asked_model(args), segments(args.rows, args.seconds)
    audio_s = args.rows * args.seconds
    contenders = chosen(built_in(ROOT), args.contender) if args.contender else []
    with loaded_endless(model) as speech:
        single, together = shared_thread().run(
            measure_decoding, speech, heard, args.tokens, args.singles
        )
        took_s = {
            "ours, together": transcribe_together(speech, heard, args.tokens),
            "ours, one by one": transcribe_one_by_one(speech, heard, args.tokens),
            "ours, one recording's segments together": transcribe_long(
                speech, heard, args.tokens, len(heard)
            ),
            "ours, one recording's segments one by one": transcribe_long(
                speech, heard, args.tokens, 1
            ),
        }
    for contender in contenders:
        took_s[f"{contender.name}, one by one"] = contender_one_by_one(
            contender, model, heard, args.tokens
        )
    wholes = [Whole(way, total_s, audio_s / total_s) for way, total_s in took_s.items()]
    print(report(single, together, wholes))
    if args.json is not None:
        content = {
            "machine": asdict(this_machine()), "model": model.name, "dtype": model.dtype,
            "rows": args.rows, "seconds": args.seconds, "tokens": args.tokens,
            "single": asdict(single), "together": asdict(together),
            "row_bytes": row_bytes(single, together), "wholes": [asdict(one) for one in wholes],
        }  # fmt: skip
        args.json.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    return int(not same_texts(single, together))


if __name__ == "__main__":
    sys.exit(main())
