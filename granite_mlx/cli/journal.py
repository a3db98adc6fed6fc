"""What the manifest is told about each recording."""

from __future__ import annotations

import os
from dataclasses import dataclass

from granite_mlx.cli.failures import explain
from granite_mlx.cli.manifest import DONE, FAILED, Entry, Manifest, input_name, input_state
from granite_mlx.cli.outputs import Job
from granite_mlx.cli.screen import one_line
from granite_mlx.transcript import Transcript

State = tuple[int | None, int | None]


@dataclass(frozen=True)
class Journal:
    """Writes to a manifest, if there is one. `options` is the digest of what was asked."""

    manifest: Manifest | None
    options: str

    def state(self, job: Job) -> State:
        """How a recording is found, to be noted before it is listened to."""
        return (None, None) if self.manifest is None else input_state(job.recording)

    def done(self, job: Job, state: State, transcript: Transcript, wall_s: float) -> None:
        """A recording's transcript has been delivered; it took `wall_s` seconds."""
        self._write(
            Entry(
                input=input_name(job.recording),
                outputs=tuple(os.path.realpath(path) for path in job.outputs),
                status=DONE,
                options=self.options,
                size_bytes=state[0],
                modified_ns=state[1],
                duration_s=round(transcript.duration_s, 3),
                wall_s=round(wall_s, 3),
                model=transcript.model,
            )
        )

    def failed(self, job: Job, state: State, error: Exception) -> None:
        """A recording could not be read, understood or delivered."""
        self._write(
            Entry(
                input=input_name(job.recording),
                outputs=(),
                status=FAILED,
                options=self.options,
                size_bytes=state[0],
                modified_ns=state[1],
                error=one_line(explain(error)),
            )
        )

    def _write(self, entry: Entry) -> None:
        if self.manifest is not None:
            self.manifest.write(entry)
