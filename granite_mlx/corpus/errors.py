"""What stops the work on an archive."""

from __future__ import annotations

from granite_mlx.errors import GraniteError


class CorpusError(GraniteError):
    """A folder of results, a source or a cluster is unusable; the message says the mend."""
