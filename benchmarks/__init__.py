"""What is measured: speed beside other libraries, and the cost of conversions and recipes."""

from benchmarks.blas import load_fast_blas

load_fast_blas()  # here, since it has to come before whatever imports mlx
