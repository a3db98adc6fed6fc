"""Whether float16 and bfloat16 hear what float32 hears: word errors over every held-out recording.

    python -m demo.half_precision --work demo/work

It needs the corpus of `demo.corpus`, but neither espeak-ng nor torch. The exit status is 1 when a
dtype is further from float32 than `LIMIT` points in any set.
"""

import argparse
import sys
from pathlib import Path

import granite_mlx
from demo.evaluate import word_errors_only
from demo.held_out import SETS
from demo.scores import Tally

FULL, HALVES = "float32", ("float16", "bfloat16")
LIMIT = 0.5
"""Points of word error, for better or worse: half precision is to change nothing."""


def too_far(by_dtype: dict[str, dict[str, Tally]]) -> list[str]:
    """Sentences about the sets in which a dtype's word error is too far from float32's."""
    far = []
    for dtype in HALVES:
        for group in SETS:
            half, full = (by_dtype[d][_key(group)] for d in (dtype, FULL))
            points = half.percent - full.percent
            if abs(points) > LIMIT:
                far.append(f"{group}: {dtype} is {points:+.2f} points from {FULL}, over {LIMIT:g}")
    return far


def table(by_dtype: dict[str, dict[str, Tally]]) -> str:
    lines = [f"{'':10}" + "".join(f"{dtype:>24}" for dtype in by_dtype)]
    for group in SETS:
        tallies = [of_dtype[_key(group)] for of_dtype in by_dtype.values()]
        cells = [f"{tally.percent:.2f} % {f'{tally.n}/{tally.total}':>10}" for tally in tallies]
        lines.append(f"{group:10}" + "".join(f"{cell:>24}" for cell in cells))
    return "\n".join(lines)


def _key(group: str) -> str:
    return f"asr.{group}.words_wrong"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--work", type=Path, default=Path("demo/work"))
    parser.add_argument("--model", type=Path, default=Path("granite_mlx/demo_checkpoint"))
    parser.add_argument("--limit", type=int, help="recordings of each set, for a quick look")
    args = parser.parse_args()

    by_dtype = {}
    for dtype in (FULL, *HALVES):
        with granite_mlx.load(args.model, dtype=dtype) as model:
            by_dtype[dtype] = word_errors_only(model, args.work, args.limit).tallies
    print(table(by_dtype))
    sys.exit("\n".join(too_far(by_dtype)) or 0)


if __name__ == "__main__":
    main()
