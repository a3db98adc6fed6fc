"""Whether this machine can hold a model, and which form of it."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path

from granite_mlx.errors import CheckpointError

WORKING_BYTES = 1_000_000_000
"""What a transcription takes beside the weights."""

OTHERS_BYTES = 3_500_000_000
"""What macOS and other programs take of a Mac's memory."""

BYTES_PER_GB = 1e9


PUBLISHED_BYTES = 4_626_414_264
"""Weights of ibm-granite/granite-4.0-1b-speech."""

RECIPE_BYTES = {
    "q8": 2_461_756_344,
    "q6": 2_002_479_032,
    "q4": 1_824_091_064,
    "q4-small": 1_434_149_816,
}
"""The same weights by each recipe. A plan would tell, but it takes the headers of the files."""


def check_memory(needed_bytes: int, model_id: str, *, is_floating: bool = False) -> None:
    """Refuse weights of `needed_bytes` that this machine cannot hold with room to work.

    The weights of a model that `is_floating` could be quantised, which is then advised.

    Raises:
        CheckpointError: naming what is needed, what there is, and what to do.
    """
    wanted, available = needed_bytes + WORKING_BYTES, _available_bytes()
    if wanted > available:
        raise CheckpointError(
            f"{model_id} needs {wanted / BYTES_PER_GB:.1f} GB of memory "
            f"({needed_bytes / BYTES_PER_GB:.1f} GB for weights), but this machine has "
            f"{available / BYTES_PER_GB:.1f} GB{_gpu_share()}; close other programs, "
            f"{_quantised_one(needed_bytes, model_id) if is_floating else ''}or use a smaller "
            "dtype or a machine with more memory."
        )


def _quantised_one(floating_bytes: int, model_id: str) -> str:
    """Advice to take a model by the first recipe that leaves room; "" if there is none."""
    for name, recipe_bytes in RECIPE_BYTES.items():
        expected = floating_bytes * recipe_bytes // PUBLISHED_BYTES
        if has_room(expected):
            wanted = (expected + WORKING_BYTES) / BYTES_PER_GB
            return f"take {model_id}:{name}, which needs {wanted:.1f} GB, "
    return ""


def has_room(needed_bytes: int) -> bool:
    """Whether weights of `needed_bytes` fit without driving other programs out of memory."""
    spare = 0 if _metal_info() is None else OTHERS_BYTES
    return needed_bytes + WORKING_BYTES + spare <= _available_bytes()


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
    share = recommended_bytes()
    if share is None:
        return " available"
    return f", of which the GPU should hold at most {share / BYTES_PER_GB:.1f} GB"


def recommended_bytes() -> int | None:
    """What Metal recommends for one program, beyond which a Mac slows down before it fails.

    None without Metal.
    """
    metal = _metal_info()
    return None if metal is None else int(metal["max_recommended_working_set_size"])


def _metal_info() -> Mapping[str, str | int] | None:
    import mlx.core as mx

    return mx.device_info() if mx.metal.is_available() else None
