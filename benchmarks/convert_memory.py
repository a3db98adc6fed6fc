"""Time, peak memory and size of conversions at full size, each in a process of its own.

    python -m benchmarks.convert_memory [CASE ...] [--layers N] [--shards N] [--json FILE]

The source is the random checkpoint of `benchmarks.full_size`. Without CASE all are measured.
Exits with 1 if one takes more memory than conversions may: 1.5 GiB and the largest tensor.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeVar

from benchmarks.full_size import add_size_arguments, cache_folder, full_size_checkpoint
from benchmarks.tables import markdown
from granite_mlx.bench.memory import peak_process_bytes

T = TypeVar("T")

CASES: Mapping[str, Mapping[str, Any]] = {
    "as it is": {},
    "float16": {"dtype": "float16"},
    "q8": {"recipe": "q8"},
    "q6": {"recipe": "q6"},
    "q4": {"recipe": "q4"},
    "q4-small": {"recipe": "q4-small"},
    "mlx-audio q8": {"recipe": "q8", "layout": "mlx-audio"},
}
"""Arguments of `granite_mlx.convert.convert`, by the case's name."""

ALLOWED_BYTES = 3 << 29
"""1.5 GiB, which a conversion may take beside the largest tensor."""


@dataclass(frozen=True)
class Measurement:
    """One conversion."""

    case: str
    seconds: float
    peak_bytes: int
    result_bytes: int


def measure(case: str, source: Path, destination: Path) -> Measurement:
    """Convert once, in this process, which should have done nothing else yet."""
    from granite_mlx.convert import convert

    start = time.perf_counter()
    convert(source, destination, verify=None, **CASES[case])
    seconds = time.perf_counter() - start
    result_bytes = sum(path.stat().st_size for path in destination.rglob("*") if path.is_file())
    return Measurement(case, seconds, peak_process_bytes(), result_bytes)


def in_process_of_its_own(case: str, source: Path, work: Callable[[str, Path, Path], T]) -> T:
    """`work` in a new process, given a folder to make, which is removed afterwards."""
    spawn = multiprocessing.get_context("spawn")
    with (
        tempfile.TemporaryDirectory(prefix="results-", dir=cache_folder()) as folder,
        ProcessPoolExecutor(1, mp_context=spawn) as executor,
    ):
        return executor.submit(work, case, source, Path(folder) / "converted").result()


def largest_tensor_bytes(source: Path) -> int:
    """Bytes of the largest tensor in the source's files."""
    from granite_mlx.model.shards import read_headers

    return max(info.n_bytes for info in read_headers(source).values())


def table(measurements: Sequence[Measurement], allowed_bytes: int) -> str:
    """What was measured, in Markdown."""
    rows = [
        [m.case, f"{m.seconds:.0f} s", _gib(m.peak_bytes), f"{m.result_bytes / 1e9:.2f} GB"]
        for m in measurements
    ]
    rows.append(["*allowed*", "", _gib(allowed_bytes), ""])
    return markdown(["conversion", "time", "peak memory", "result"], rows)


def _gib(n_bytes: int) -> str:
    return f"{n_bytes / 2**30:.2f} GiB"


def parsed_arguments(description: str, kind: str, known: Iterable[str]) -> argparse.Namespace:
    """`names` of what to measure, by default all; `json`; `layers` and `shards` of the source."""
    parser, all_names = argparse.ArgumentParser(description=description), list(known)
    listed = ", ".join(all_names)
    parser.add_argument("names", nargs="*", metavar=kind.upper(), help=f"of {listed}")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures here, too")
    add_size_arguments(parser)
    args = parser.parse_args()
    for name in args.names:
        if name not in all_names:
            parser.error(f"there is no {kind} {name!r}; choose of {listed}")
    args.names = args.names or all_names
    return args


def main() -> int:
    """Measure, print the table, and write the JSON that it comes from."""
    args = parsed_arguments("Measure conversions at full size.", "case", CASES)
    source = full_size_checkpoint(args.layers, args.shards)
    allowed_bytes = ALLOWED_BYTES + largest_tensor_bytes(source)
    measurements = []
    for case in args.names:
        print(f"{case} ...", file=sys.stderr)
        measurements.append(in_process_of_its_own(case, source, measure))
    print(table(measurements, allowed_bytes))
    if args.json is not None:
        args.json.write_text(json.dumps(report(source, measurements, allowed_bytes), indent=2))
    return int(any(m.peak_bytes > allowed_bytes for m in measurements))


def report(source: Path, measurements: Sequence[Measurement], allowed_bytes: int) -> dict[str, Any]:
    """The figures with what they depend on."""
    from granite_mlx.doctor import system_report

    return {
        "system": system_report(),
        "source": source.name,
        "source_bytes": sum(path.stat().st_size for path in source.iterdir()),
        "allowed_peak_bytes": allowed_bytes,
        "conversions": [asdict(measurement) for measurement in measurements],
    }


if __name__ == "__main__":
    sys.exit(main())
