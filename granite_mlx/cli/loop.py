"""The loop over the recordings, and the account of how they fared."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence

from granite_mlx.cli.exits import Exit
from granite_mlx.cli.failures import NoModelError
from granite_mlx.cli.inputs import Recording
from granite_mlx.cli.journal import Journal, State
from granite_mlx.cli.listener import Audio, Listener, Outcome
from granite_mlx.cli.manifest import ManifestError
from granite_mlx.cli.model import FractionProgress
from granite_mlx.cli.outputs import Job
from granite_mlx.cli.pace import Pace
from granite_mlx.cli.screen import Screen
from granite_mlx.errors import CheckpointError, LanguageError
from granite_mlx.transcript import Transcript, TranscriptWarning

OBSTACLES = (NoModelError, ManifestError, LanguageError, CheckpointError, ValueError)
"""What the next recording would meet too. ValueError is how the library refuses an option."""


class Batch:
    """Goes through groups of jobs; a group is listened to at once.

    `n_before` recordings were done by an earlier run. `now_s` is a clock.
    """

    def __init__(
        self,
        groups: Sequence[Sequence[Job]],
        n_before: int,
        listener: Listener,
        screen: Screen,
        pace: Pace,
        journal: Journal,
        now_s: Callable[[], float],
    ) -> None:
        self._groups = groups
        self._n_before = n_before
        self._n_files = n_before + sum(map(len, groups))
        self._listener = listener
        self._screen = screen
        self._pace = pace
        self._journal = journal
        self._now_s = now_s
        self._failed: list[Recording] = []

    def run(self) -> int:
        """All recordings in order; a bad one does not stop the others. -> exit code."""
        if self._n_before:
            self._screen.note(f"{self._n_before} of {self._n_files} files are done already.")
        try:
            for group in self._groups:
                self._one_group(group)
        except KeyboardInterrupt:
            n_done = self._n_done
            self._screen.error(f"interrupted; {n_done} of {self._n_files} files are done.")
            return Exit.INTERRUPTED
        except OBSTACLES as error:
            self._screen.failure(error)
            return Exit.PARTIAL if self._n_done else Exit.NOTHING_DONE
        return self._account()

    @property
    def _n_done(self) -> int:
        return self._n_before + self._pace.n_done

    def _one_group(self, group: Sequence[Job]) -> None:
        states = {job: self._journal.state(job) for job in group}
        audio = self._opened(group, states)
        if not audio:
            return
        self._listener.model()  # so that loading it is no recording's time
        start_s = self._now_s()
        jobs = list(audio)
        outcomes = self._listener.listen(list(audio.values()), self._progress_of(jobs, start_s))
        wall_s = self._now_s() - start_s
        obstacle = None
        for job, outcome, share in zip(jobs, outcomes, _shares(outcomes), strict=True):
            if isinstance(outcome, OBSTACLES):
                obstacle = obstacle or outcome
            else:
                self._settle(job, states[job], outcome, share * wall_s)
        if obstacle is not None:
            raise obstacle

    def _opened(self, group: Sequence[Job], states: dict[Job, State]) -> dict[Job, Audio]:
        """What there is to listen to; a file that is not there has failed."""
        audio: dict[Job, Audio] = {}
        for job in group:
            try:
                audio[job] = job.recording.audio()
            except Exception as error:
                self._fail(job, states[job], error)
        return audio

    def _settle(self, job: Job, state: State, outcome: Outcome, wall_s: float) -> None:
        try:
            if isinstance(outcome, Exception):
                raise outcome
            job.deliver(outcome)
        except (BrokenPipeError, *OBSTACLES):
            raise
        except Exception as error:
            self._fail(job, state, error)
            return
        self._pace.finish(job.recording, outcome.duration_s, wall_s)
        self._journal.done(job, state, outcome, wall_s)
        for warning in outcome.warnings:
            self._screen.warning(f"{job.recording.shown_name}: {_warning_text(warning)}")

    def _fail(self, job: Job, state: State, error: Exception) -> None:
        self._failed.append(job.recording)
        self._pace.leave_out(job.recording)
        self._screen.failure(error, job.recording.shown_name)
        self._journal.failed(job, state, error)

    def _progress_of(self, jobs: Sequence[Job], start_s: float) -> FractionProgress:
        first = self._n_done + len(self._failed) + 1
        last = first + len(jobs) - 1
        place = f"{first}/{self._n_files}" if first == last else f"{first}-{last}/{self._n_files}"
        files = [job.recording for job in jobs]
        names = ", ".join(file.shown_name for file in files)

        def show(fraction: float) -> None:
            # The name comes last: where the line is cut, the figures stay.
            figures = self._pace.line(files, fraction, self._now_s() - start_s)
            self._screen.progress(f"[{place}] {figures}: {names}")

        return show

    def _account(self) -> int:
        if self._failed and self._n_files > 1:
            names = ", ".join(file.shown_name for file in self._failed)
            self._screen.error(f"{len(self._failed)} of {self._n_files} files failed: {names}")
        if self._pace.n_done:
            self._screen.note(self._pace.summary())
        if not self._failed:
            return Exit.COMPLETE
        return Exit.PARTIAL if self._n_done else Exit.NOTHING_DONE


def groups_of(jobs: Sequence[Job], size: int, pace: Pace) -> list[list[Job]]:
    """Groups of at most `size`. Recordings of similar length go together where the order of their
    outputs does not matter; stdin goes alone, because it cannot be read twice."""
    if size > 1 and any(job.outputs for job in jobs):
        jobs = sorted(jobs, key=lambda job: (_suffix(job), pace.size(job.recording)))
    groups: list[list[Job]] = []
    for job in jobs:
        alone = job.recording.is_stdin or (groups and groups[-1][-1].recording.is_stdin)
        if not groups or alone or len(groups[-1]) == size:
            groups.append([])
        groups[-1].append(job)
    return groups


def _suffix(job: Job) -> str:
    return os.path.splitext(job.recording.name)[1].lower()


def _shares(outcomes: Sequence[Outcome]) -> list[float]:
    """The part of a group's time that each recording took, by its length."""
    lengths = [one.duration_s if isinstance(one, Transcript) else 0.0 for one in outcomes]
    total_s = sum(lengths)
    return [length / total_s if total_s else 1 / len(lengths) for length in lengths]


def _warning_text(warning: TranscriptWarning) -> str:
    if warning.start_s is None or warning.end_s is None:
        return warning.message
    return f"{warning.start_s:.2f}-{warning.end_s:.2f} s: {warning.message}"
