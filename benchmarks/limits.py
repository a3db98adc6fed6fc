"""What this machine can do at best, measured: matrix products and reading memory, with MLX.

    python -m benchmarks.limits [--seconds S]

The products are those of the encoder at full size for that many seconds of audio, on their own,
with nothing between them, and one large square. Reading is a matrix of 1 GiB times a vector: on a
CPU by the BLAS that numpy brings, on as many threads as there are cores; on a GPU by MLX.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from typing import Any

from benchmarks.costs import ATTENTION, Product, conformer_products, flops
from granite_mlx.bench.machine import available_cores, loaded_blas

MATRIX_BYTES = 1 << 30
COLUMNS = 8192
SQUARE = 2048
FRAMES_PER_S = 50
N_RUNS = 3

TRIAL_FLOPS_PER_S = 3e10
"""What a type has to reach in a small product to be measured at full shapes: on a CPU bfloat16 and
float16 may not."""


@dataclass(frozen=True)
class Limits:
    """Best of some runs.

    Attributes:
        flops_per_s: operations a second of the encoder's products, by type; 0 where hopeless.
        square_flops_per_s: of a product that is as good as any, in float32.
        bytes_per_s: of reading memory.
        row_bytes_per_s: of MLX's own product of one row with a matrix, in float32: on a CPU it does
            not come near, for MLX calls BLAS's product of matrices there, which copies first.
    """

    flops_per_s: dict[str, float]
    square_flops_per_s: float
    bytes_per_s: float
    row_bytes_per_s: float
    device: str
    blas: str


def measure_limits(n_frames: int, dtypes: tuple[str, ...] = ("float32", "bfloat16")) -> Limits:
    """Measure them now, for an encoder pass over `n_frames` frames."""
    import mlx.core as mx

    products = full_size_products(n_frames)
    rates = {dtype: product_rate(products, dtype) for dtype in dtypes}
    on_gpu = mx.default_device() == mx.Device(mx.gpu)
    bandwidth = gpu_bandwidth() if on_gpu else cpu_bandwidth()
    square = product_rate([Product("square", SQUARE, SQUARE, SQUARE)], "float32")
    row = row_bandwidth()
    mx.clear_cache()
    return Limits(rates, square, bandwidth, row, str(mx.default_device()), loaded_blas())


def full_size_products(n_frames: int) -> list[Product]:
    """Of one block at full size, those with weights."""
    from benchmarks.full_size import real_config
    from granite_mlx.model.config import parse_config

    encoder = parse_config(real_config()).encoder
    return [one for one in conformer_products(encoder, n_frames) if one.name not in ATTENTION]


def product_rate(products: list[Product], dtype: str) -> float:
    """Operations a second of these products, one after the other; 0 for a hopeless type."""
    import mlx.core as mx

    kind = getattr(mx, dtype)
    trial = Product("trial", 256, 1024, 1024)
    if flops([trial]) / _best_s(_run_of([trial], kind)) < TRIAL_FLOPS_PER_S:
        return 0.0
    return flops(products) / _best_s(_run_of(products, kind))


def _run_of(products: list[Product], dtype: Any) -> Callable[[], None]:
    import mlx.core as mx

    pairs = [
        (
            mx.random.normal((one.m, one.k), dtype=dtype),
            mx.random.normal((one.k, one.n), dtype=dtype),
        )
        for one in products
        for _ in range(one.count)
    ]
    mx.eval(pairs)

    def run() -> None:
        mx.eval([left @ right for left, right in pairs])

    return run


def cpu_bandwidth() -> float:
    """Bytes a second of a matrix-vector product, its rows shared among the cores."""
    import numpy as np

    matrix = np.ones((MATRIX_BYTES // 4 // COLUMNS, COLUMNS), np.float32)
    vector = np.ones(COLUMNS, np.float32)
    n_threads = available_cores()
    parts = np.array_split(matrix, n_threads)
    with ThreadPoolExecutor(n_threads) as threads:
        shared = _best_s(lambda: list(threads.map(lambda part: part @ vector, parts)))
    # A BLAS that shares the rows itself is slowed down by callers that do it too.
    return matrix.nbytes / min(shared, _best_s(lambda: matrix @ vector))


def row_bandwidth() -> float:
    """Bytes a second of a row times a matrix as the decoder computes it, in float32."""
    import mlx.core as mx

    matrix = mx.ones((MATRIX_BYTES // 4 // COLUMNS, COLUMNS))
    row = mx.ones((1, COLUMNS))
    mx.eval(matrix, row)
    return matrix.nbytes / _best_s(lambda: mx.eval(row @ matrix.T))


def gpu_bandwidth() -> float:
    """Bytes a second of a matrix-vector product in bfloat16."""
    import mlx.core as mx

    matrix = mx.ones((MATRIX_BYTES // 2 // COLUMNS, COLUMNS), mx.bfloat16)
    vector = mx.ones((COLUMNS,), mx.bfloat16)
    mx.eval(matrix, vector)
    return matrix.nbytes / _best_s(lambda: mx.eval(matrix @ vector))


def _best_s(work: Callable[[], object]) -> float:
    """The fastest of some runs, after one that does not count."""
    work()
    times_s = []
    for _ in range(N_RUNS):
        start_s = time.perf_counter()
        work()
        times_s.append(time.perf_counter() - start_s)
    return min(times_s)


def main() -> None:
    """Measure and print them as JSON."""
    parser = argparse.ArgumentParser(description="Measure what this machine can do at best.")
    parser.add_argument("--seconds", type=float, default=30.0, help="of audio (%(default)s)")
    args = parser.parse_args()
    print(json.dumps(asdict(measure_limits(round(FRAMES_PER_S * args.seconds))), indent=2))


if __name__ == "__main__":
    main()
