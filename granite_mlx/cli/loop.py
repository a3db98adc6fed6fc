"""The loop over the recordings, and the account of how they fared."""

from __future__ import annotations

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
from granite_mlx.transcript import TranscriptWarning

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
        at_work = _Group(list(audio), self._now_s())

        def settle(place: int, outcome: Outcome) -> None:
            job, wall_s = at_work.next(self._now_s())
            if isinstance(outcome, OBSTACLES):
                at_work.obstacle = at_work.obstacle or outcome
            else:
                self._settle(job, states[job], outcome, wall_s)

        self._listener.listen(list(audio.values()), self._progress_of(at_work), settle)
        if at_work.obstacle is not None:
            raise at_work.obstacle

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
            self._screen.warning(f"{job.recording.shown_name}: {warning_text(warning)}")

    def _fail(self, job: Job, state: State, error: Exception) -> None:
        self._failed.append(job.recording)
        self._pace.leave_out(job.recording)
        self._screen.failure(error, job.recording.shown_name)
        self._journal.failed(job, state, error)

    def _progress_of(self, at_work: _Group) -> FractionProgress:
        def show(fraction: float) -> None:
            first = self._n_done + len(self._failed) + 1
            last = first + len(at_work.jobs) - 1
            place = f"{first}" if first == last else f"{first}-{last}"
            files = [job.recording for job in at_work.jobs]
            names = ", ".join(file.shown_name for file in files)
            # The name comes last: where the line is cut, the figures stay.
            elapsed_s = self._now_s() - at_work.since_s
            figures = self._pace.line(files, at_work.left(fraction), elapsed_s)
            self._screen.progress(f"[{place}/{self._n_files}] {figures}: {names}")

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


class _Group:
    """The jobs of a group that are not done, and since when the first of them is worked on."""

    def __init__(self, jobs: list[Job], since_s: float) -> None:
        self.jobs = jobs
        self.since_s = since_s
        self.obstacle: Exception | None = None
        self._n_all = len(jobs)

    def next(self, now_s: float) -> tuple[Job, float]:
        """The first job is done. -> it, and the time since the one before it."""
        wall_s, self.since_s = now_s - self.since_s, now_s
        return self.jobs.pop(0), wall_s

    def left(self, fraction: float) -> float:
        """A fraction of all jobs -> of those that are not done."""
        n_done = self._n_all - len(self.jobs)
        return max(0.0, fraction * self._n_all - n_done) / len(self.jobs) if self.jobs else 1.0


def groups_of(jobs: Sequence[Job], size: int, pace: Pace) -> list[list[Job]]:
    """Groups of at most `size`. What is no file, stdin or a pipe, goes alone: it cannot be read
    twice, and nobody knows how long the others would wait for it."""
    groups: list[list[Job]] = []
    goes_alone = False
    for job in jobs:
        before, goes_alone = goes_alone, not pace.is_known(job.recording)
        if not groups or goes_alone or before or len(groups[-1]) == size:
            groups.append([])
        groups[-1].append(job)
    return groups


def warning_text(warning: TranscriptWarning) -> str:
    """A warning with its times, where it has any."""
    if warning.start_s is None or warning.end_s is None:
        return warning.message
    return f"{warning.start_s:.2f}-{warning.end_s:.2f} s: {warning.message}"
