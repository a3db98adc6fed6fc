"""What clients may take from the server."""

from __future__ import annotations

from dataclasses import dataclass

MIB = 1 << 20
MOST_REQUESTS = 250
"""Each waits on one of the 256 threads of granite_mlx/asynchronous.py."""


@dataclass(frozen=True)
class ServerLimits:
    """Sizes in bytes, times in seconds.

    Attributes:
        upload_bytes: of one recording.
        held_bytes: of all recordings that are held at the same time, on disk.
        duration_s: of one recording, times its channels where each is transcribed by itself.
        n_requests: at the same time, from the first byte of the upload to the answer's last.
        stall_s: how long a client may send, or take, nothing.
        upload_s: how long an upload may take.
        answer_s: how long a request may wait and be worked on once it is received.
    """

    upload_bytes: int = 500 * MIB
    held_bytes: int = 4096 * MIB
    duration_s: float = 4 * 3600.0
    n_requests: int = 128
    stall_s: float = 20.0
    upload_s: float = 600.0
    answer_s: float = 3600.0

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if not value > 0:
                raise ValueError(f"{name} must be more than 0, not {value}.")
        if self.n_requests > MOST_REQUESTS:
            raise ValueError(f"n_requests is at most {MOST_REQUESTS}, not {self.n_requests}.")
