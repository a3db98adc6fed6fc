"""The most memory that this process has held, and how to begin counting anew."""

from __future__ import annotations

import contextlib
import resource
import sys
from pathlib import Path

STATUS = Path("/proc/self/status")
CLEAR_REFS = Path("/proc/self/clear_refs")
RESET_PEAK = "5"
"""What clear_refs takes to set the peak back to what is held now (Linux 4.0, proc(5))."""


def peak_resident_bytes() -> int:
    """The largest resident size, since `reset_peak_resident` where that works, else ever."""
    if sys.platform == "linux":  # ru_maxrss would start with that of the process before exec
        lines = STATUS.read_text(encoding="ascii").splitlines()
        return next(int(line.split()[1]) << 10 for line in lines if line.startswith("VmHWM"))
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # bytes on macOS


def peak_process_bytes() -> int:
    """The most memory that this process has ever held, with what its GPU held for it.

    A Mac may not count what Metal holds as resident, so that is added; what it does count is then
    counted twice, and the figure is an upper bound.
    """
    if sys.platform == "linux":
        return peak_resident_bytes()
    import mlx.core as mx

    return peak_resident_bytes() + mx.get_peak_memory()


def reset_peak_resident() -> bool:
    """Whether the peak counts from now on; macOS has no such thing."""
    if sys.platform == "linux":
        with contextlib.suppress(OSError):
            CLEAR_REFS.write_text(RESET_PEAK, encoding="ascii")
            return True
    return False
