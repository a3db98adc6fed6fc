"""What MLX itself held at most, beside the process's resident size: on a GPU that is elsewhere."""

from __future__ import annotations

from collections.abc import Callable

import mlx.core as mx

from benchmarks.contenders.protocol import Answer, with_resident_peak


def with_mlx_peak(work: Callable[[], Answer]) -> Answer:
    """Add both peaks of one piece of work."""
    mx.reset_peak_memory()
    answer = with_resident_peak(work)
    return Answer({**answer.values, "peak_device_bytes": mx.get_peak_memory()}, answer.text)
