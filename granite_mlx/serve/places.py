"""So many at a time, and no more."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from granite_mlx.serve.errors import ApiError

RETRY_AFTER_S = 5.0


class Places:
    """Places for requests, on the one thread of the server's loop."""

    def __init__(self, n_places: int) -> None:
        self._n_places, self.n_taken = n_places, 0

    @contextlib.contextmanager
    def place(self) -> Iterator[None]:
        """A place for as long as a request lasts; ApiError 503 where all are taken."""
        if self.n_taken >= self._n_places:
            raise busy(f"{self.n_taken} requests are at work already; try again later.")
        self.n_taken += 1
        try:
            yield
        finally:
            self.n_taken -= 1


def busy(message: str) -> ApiError:
    """What is told where it may go better in a while."""
    return ApiError(503, message, code="server_busy", retry_after_s=RETRY_AFTER_S)
