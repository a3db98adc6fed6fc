"""How long the model takes on this machine: `granite-mlx bench`, and what `benchmarks/` shares.

`machine`, `memory`, `spread` and, for reading, `wav` need nothing else of ours and no MLX, so that
a program that measures another library in that library's own environment can use them.
"""
