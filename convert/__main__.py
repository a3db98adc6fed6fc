"""`python -m granite_mlx.convert` is the command `granite-mlx convert`."""

import sys

from granite_mlx.cli import main

sys.exit(main(["convert", *sys.argv[1:]]))
