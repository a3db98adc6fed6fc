"""The command line: `granite-mlx transcribe`, `translate`, `listen`, `serve`, `convert`,
`eval`, `bench`, `doctor`.

Results go to stdout, everything else to stderr. Nothing heavy is imported until a command needs it.
"""

from granite_mlx.cli.entry import main

__all__ = ["main"]
