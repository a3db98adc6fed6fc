"""The same fast BLAS for everybody who computes with MLX on a CPU.

mlx for Linux brings a slow one. Whatever is loaded first, for all to see, serves it instead.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import sys

OPENBLAS = "libopenblas.so.0"
VARIABLE = "GRANITE_MLX_BENCH_BLAS"
OWN = "own"
"""The variable's value for programs that bring a fast one of their own."""


def load_fast_blas() -> bool:
    """Load OpenBLAS where Linux has it; this has to come before the first `import mlx`."""
    if sys.platform != "linux" or os.environ.get(VARIABLE) == OWN:
        return False
    with contextlib.suppress(OSError):
        ctypes.CDLL(OPENBLAS, mode=ctypes.RTLD_GLOBAL)
        return True
    return False
