"""What stops an evaluation: a source, a folder or another run that cannot be used."""

from __future__ import annotations

from granite_mlx.errors import GraniteError


class EvaluationError(GraniteError):
    """A source, a destination or a run to compare with is unusable; the message says the mend."""
