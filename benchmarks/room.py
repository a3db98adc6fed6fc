"""How much memory there is for the contenders, and how much each of them needs."""

from __future__ import annotations

import os
import sys
from pathlib import Path

STORED_ITEM_BYTES = 2
"""Checkpoints are stored in bfloat16; the demo's is."""

ITEM_BYTES = {"float32": 4, "float16": 2, "bfloat16": 2}

WORKING_BYTES = 500_000_000
WORKING_BYTES_PER_S = 40_000_000
"""What a contender takes beside its weights, at most: mlx-audio in float32 grows by about 1 GB for
30 s of audio."""

SPARE_BYTES = 500_000_000


def weights_bytes(folder: Path, dtype: str) -> int:
    """What a checkpoint's weights take in a type."""
    stored = sum(path.stat().st_size for path in folder.glob("*.safetensors"))
    return stored * ITEM_BYTES[dtype] // STORED_ITEM_BYTES


def working_bytes(seconds: float, weights: int) -> int:
    """For a recording of so many seconds; small models take little."""
    return min(WORKING_BYTES + round(WORKING_BYTES_PER_S * seconds), WORKING_BYTES + weights)


def available_bytes(loaded_bytes: int) -> int:
    """What can be taken without swapping; a Mac does not tell, so there it is what is not ours."""
    if sys.platform == "linux":
        for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024 - SPARE_BYTES
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return total * 3 // 4 - loaded_bytes - SPARE_BYTES
