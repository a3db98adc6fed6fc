"""What the machine can do, measured in the same run as the contenders, again in every round."""

from __future__ import annotations

from benchmarks.contenders.protocol import Answer, Request, serve
from benchmarks.limits import FRAMES_PER_S, measure_limits
from granite_mlx.bench.machine import installed

KIND = "limits"


def limits(request: Request) -> Answer:
    """At the encoder's shapes for a recording of this length."""
    found = measure_limits(round(FRAMES_PER_S * request.seconds))
    rates = {f"{dtype}_flops_per_s": rate for dtype, rate in found.flops_per_s.items()}
    others = {
        "square_flops_per_s": found.square_flops_per_s,
        "bytes_per_s": found.bytes_per_s,
        "row_bytes_per_s": found.row_bytes_per_s,
    }
    return Answer(rates | others, f"{found.device}; BLAS {found.blas}")


def nothing(model: str, dtype: str) -> Answer:
    """There is no model."""
    return Answer({})


if __name__ == "__main__":
    serve(installed(("mlx", "numpy")), nothing, {KIND: limits})
