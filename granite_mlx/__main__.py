"""`python -m granite_mlx` is the command `granite-mlx`."""

import sys

from granite_mlx.cli import main

sys.exit(main())
