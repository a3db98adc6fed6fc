"""Whether this machine can hold a model."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path

from granite_mlx.errors import CheckpointError

WORKING_BYTES = 1_000_000_000
"""What a transcription takes beside the weights."""

BYTES_PER_GB = 1e9


def check_memory(needed_bytes: int, model_id: str) -> None:
    """Refuse weights of `needed_bytes` that this machine cannot hold with room to work.

    Raises:
        CheckpointError: naming what is needed and what there is.
    """
    wanted, available = needed_bytes + WORKING_BYTES, _available_bytes()
    if wanted > available:
        raise CheckpointError(
            f"{model_id} needs {wanted / BYTES_PER_GB:.1f} GB of memory "
            f"({needed_bytes / BYTES_PER_GB:.1f} GB for weights), but this machine has "
            f"{available / BYTES_PER_GB:.1f} GB{_gpu_share()}; close other programs, or use a "
            "smaller dtype or a machine with more memory."
        )


def _available_bytes() -> int:
    """All memory of a Mac, which makes room by itself; on Linux what is free without swapping."""
    if (metal := _metal_info()) is not None:
        return int(metal["memory_size"])
    if sys.platform == "linux":
        for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _gpu_share() -> str:
    """What Metal recommends for one program; beyond it a Mac slows down before it fails."""
    metal = _metal_info()
    if metal is None:
        return " available"
    share = int(metal["max_recommended_working_set_size"])
    return f", of which the GPU should hold at most {share / BYTES_PER_GB:.1f} GB"


def _metal_info() -> Mapping[str, str | int] | None:
    import mlx.core as mx

    return mx.device_info() if mx.metal.is_available() else None
