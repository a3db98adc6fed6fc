"""Time and peak memory of comparisons at full size, layer by layer, each in a process of its own.

    python -m benchmarks.verify_memory [RECIPE ...] [--layers N] [--shards N] [--json FILE]

The source is the random checkpoint of `benchmarks.full_size`; without RECIPE all are compared with
it. Both run along what is said in the packaged recordings. The figures of random weights say
nothing about words, but how far errors grow through all layers shows in them.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks.convert_memory import in_process_of_its_own, parsed_arguments
from benchmarks.full_size import full_size_checkpoint
from benchmarks.tables import markdown
from granite_mlx.bench.memory import peak_process_bytes
from granite_mlx.convert.recipes import RECIPES, ROOMS


@dataclass(frozen=True)
class Measurement:
    """One comparison; `figures` are those of a manifest."""

    recipe: str
    seconds: float
    peak_bytes: int
    figures: Mapping[str, Any]


def measure(recipe: str, source: Path, destination: Path) -> Measurement:
    """Convert and compare, in this process, which should have done nothing else yet.

    The conversion takes less memory than the comparison, whose peak is therefore the process's.
    """
    from granite_mlx.convert import convert
    from granite_mlx.convert.recordings import packaged_recordings
    from granite_mlx.convert.verify import IN_LAYERS, verify
    from granite_mlx.model.checkpoint import Checkpoint

    convert(source, destination, recipe=recipe)
    start = time.perf_counter()
    checkpoint = Checkpoint(source, source.name, None)
    found = verify(checkpoint, destination, packaged_recordings(), way=IN_LAYERS)
    seconds = time.perf_counter() - start
    return Measurement(recipe, seconds, peak_process_bytes(), found.to_record())


def table(measurements: Sequence[Measurement]) -> str:
    """What was measured, in Markdown."""
    head = ["recipe", "time", "peak memory"]
    head += [*(f"{room}'s relative error" for room in ROOMS), "mean KL", "same top token"]
    return markdown(head, map(_cells, measurements))


def _cells(measured: Measurement) -> list[str]:
    figures = measured.figures
    return [
        measured.recipe,
        f"{measured.seconds:.0f} s",
        f"{measured.peak_bytes / 2**30:.2f} GiB",
        *(f"{100 * figures['outputs'][room]['relative_error']:.2f} %" for room in ROOMS),
        f"{figures['mean_kl_nats']:.4f} nats",
        f"{100 * figures['top1_agreement']:.1f} %",
    ]


def main() -> int:
    """Measure, print the table, and write the JSON that it comes from."""
    args = parsed_arguments("Measure comparisons at full size.", "recipe", RECIPES)
    source = full_size_checkpoint(args.layers, args.shards)
    measurements = []
    for name in args.names:
        print(f"{name} ...", file=sys.stderr)
        measurements.append(in_process_of_its_own(name, source, measure))
    print(table(measurements))
    if args.json is not None:
        args.json.write_text(json.dumps(report(source, measurements), indent=2))
    return 0


def report(source: Path, measurements: Sequence[Measurement]) -> dict[str, Any]:
    """The figures, and the machine they come from."""
    from granite_mlx.doctor import system_report

    comparisons = [asdict(measurement) for measurement in measurements]
    return {"system": system_report(), "source": source.name, "comparisons": comparisons}


if __name__ == "__main__":
    sys.exit(main())
