"""From recordings of any length to their segments: the whole path, in numbered steps.

`Listener.listen` is that path. Reading and splitting run on the caller's thread, what MLX computes
on its own one, together with the pieces of other callers; in memory are the pieces of one batch and
the splitters' look-ahead.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from itertools import islice

import numpy as np

from granite_mlx.assembly import Assembly, Source
from granite_mlx.audio.stream import SAMPLE_RATE
from granite_mlx.biasing.prompting import chooser, unsearchable
from granite_mlx.decoding.prompts import Task, instruction, system_prompt
from granite_mlx.decoding.tokenizer import SpeechTokenizer
from granite_mlx.engine import MLXThread
from granite_mlx.errors import GraniteError
from granite_mlx.model.family import Family
from granite_mlx.reading import Reading, Spoken
from granite_mlx.recognition import Answered, Asked, Recogniser
from granite_mlx.request import Progress, Request
from granite_mlx.rereading import Read, is_better, is_doubtful, smaller
from granite_mlx.running import Checkpoint
from granite_mlx.scheduling import Scheduler
from granite_mlx.segments.letters import Letters
from granite_mlx.transcript import Segment, Transcript, TranscriptWarning
from granite_mlx.writing import written

READ_AHEAD = 4
"""Pieces in memory, in batches: some are long and some short, and like goes with like."""


class Work:
    """Sound from one source at work: what is asked, and what was heard of it."""

    reading: Source
    assembly: Assembly

    def __init__(self, request: Request, listener: Listener) -> None:
        self.request = request
        self.progress = Progress(request.on_progress)
        self.listener = listener

    def checkpoint(self) -> None:
        """Between the steps of what MLX computes."""
        self.listener.thread.checkpoint()
        self.request.cancel.check()

    def hear(self, samples: np.ndarray) -> Letters:
        """What the character head hears of (n,) samples."""
        return self.listener.thread.run(self.listener.letters, samples, self.checkpoint)


class Listening(Work):
    """One recording at work: what was read of it, what was heard, and how far that is."""

    reading: Reading

    def __init__(self, request: Request, listener: Listener) -> None:
        super().__init__(request, listener)
        self.error: GraniteError | TypeError | ValueError | None = None
        self.is_complete = False
        self.reading = Reading(request, self.hear, self.progress)
        self.assembly = Assembly(request, self.reading)
        for stretch in request.stretches:
            n_most, boost = request.keywords_per_prompt, request.keyword_boost
            self.assembly.warn(unsearchable(stretch.task, n_most, boost))

    def pieces(self) -> Iterator[tuple[Listening, Spoken]]:
        """All pieces; what is wrong with the recording is kept in `error`."""
        try:
            for spoken in self.reading.pieces():
                yield self, spoken
        except (GraniteError, TypeError, ValueError) as error:
            if error is self.progress.raised:
                raise
            self.error = error

    def result(self, model_id: str) -> Transcript | GraniteError | TypeError | ValueError:
        """What there is to return, or to raise, once the recording is complete."""
        return self.error or self.assembly.transcript(model_id)


@dataclass(frozen=True)
class Listener:
    """The model and its thread. `recogniser` makes one that calls a function between its steps."""

    family: Family
    tokenizer: SpeechTokenizer
    thread: MLXThread
    scheduler: Scheduler
    recogniser: Callable[[Checkpoint], Recogniser]

    def listen(
        self, listenings: Sequence[Listening], n_rows: int, n_first: int
    ) -> Iterator[tuple[Listening, list[Segment]]]:
        """The segments of each recording, in order, as they become final.

        Args:
            n_rows: pieces that are worked on at once.
            n_first: pieces of the first batch; the following ones are larger and larger.
        """
        # Closed at once when the listening ends, whatever way: the caller may then close its files.
        with closing(one for listening in listenings for one in listening.pieces()) as read:
            # 1. Recordings to blocks of samples, float32, mono, 16 kHz, as they are read; blocks to
            #    pieces that end where somebody pauses, about 30 s at most.
            pieces = _Pieces(read)
            behind = list(listenings)
            for batch in pieces.batches(n_first, lambda: self._most_pieces(n_rows)):
                # 2., 3., 4. Pieces to what the assembly of their recording takes.
                self.take(batch, n_rows)

                # 5. What is final of the last recording; those without more pieces are complete.
                yield batch[-1][0], batch[-1][0].assembly.ready()
                following = pieces.next_of()
                while behind and behind[0] is not following:
                    yield self._finished(behind.pop(0))
            for listening in behind:
                yield self._finished(listening)

    def take(self, batch: Sequence[tuple[Work, Spoken]], n_rows: int) -> list[int]:
        """Write down pieces: the second, third and fourth step of `listen`.

        -> as how many pieces each was taken.
        """
        # 2. Pieces to features, to frames, to audio tokens, to the tokens of the answers.
        # 3. Tokens to text, text to segments.
        first = self._read(batch, _reports(batch), n_rows)

        # 4. Where nobody pauses and another word was heard, the same in smaller pieces; pieces
        #    that overlap are joined.
        stands = self._again(batch, first, n_rows)
        for (work, _), parts in zip(batch, stands, strict=True):
            for read in parts:
                if isinstance(read.answer, Exception):
                    work.assembly.miss(read.spoken, read.answer)
                else:
                    work.assembly.take(read.spoken, read.segments, read.warnings)
        return [*map(len, stands)]

    def _read(
        self,
        batch: Sequence[tuple[Work, Spoken]],
        reports: Sequence[Callable[[float], None]],
        n_rows: int,
    ) -> list[Read]:
        """The second and third step."""
        answers = self._answers(batch, reports, n_rows)
        found = []
        for (work, spoken), answer in zip(batch, answers, strict=True):
            read = Read(spoken, work.assembly.times_s(spoken)[0], answer)
            if not isinstance(answer, Exception):
                work.assembly.offer(answer.task.keywords)
                segments, warnings = self._written(work, spoken, answer)
                read = replace(read, segments=segments, warnings=warnings)
            found.append(read)
        return found

    def _again(
        self, batch: Sequence[tuple[Work, Spoken]], first: Sequence[Read], n_rows: int
    ) -> list[Sequence[Read]]:
        """What stands of each piece: what was read of it, or of smaller ones."""
        pieces: list[list[Spoken]] = [
            smaller(one.spoken, work.request.limits, work.hear)
            if work.request.guarded and is_doubtful(one)
            else []
            for (work, _), one in zip(batch, first, strict=True)
        ]
        again = [
            (work, spoken)
            for (work, _), parts in zip(batch, pieces, strict=True)
            for spoken in parts
        ]
        if not again:
            return [(one,) for one in first]
        read = iter(self._read(again, [lambda _: None] * len(again), n_rows))
        stands: list[Sequence[Read]] = []
        for one, parts in zip(first, pieces, strict=True):
            second = [*islice(read, len(parts))]
            stands.append(second if second and is_better(second, one) else (one,))
        return stands

    def _most_pieces(self, n_rows: int) -> int:
        """In memory: callers share the room, so that it does not grow with their number."""
        return max(1, READ_AHEAD * n_rows // max(1, self.scheduler.n_callers))

    def _finished(self, listening: Listening) -> tuple[Listening, list[Segment]]:
        last = listening.assembly.finish()
        listening.is_complete = True
        if listening.error is None:
            listening.error = listening.assembly.failure
        if listening.error is None:
            listening.progress.report(1.0)
        return listening, last

    def _answers(
        self,
        batch: Sequence[tuple[Work, Spoken]],
        reports: Sequence[Callable[[float], None]],
        n_rows: int,
    ) -> list[Answered | Exception]:
        """The answers to a batch, or why a piece of it failed."""
        tokens = {id(one.request.cancel): one.request.cancel for one, _ in batch}.values()

        def check() -> None:
            for token in tokens:
                token.check()

        asked = [
            self._asked(listening.request, spoken, report)
            for (listening, spoken), report in zip(batch, reports, strict=True)
        ]
        return self.scheduler.answer(asked, n_rows, check)

    def _asked(self, request: Request, spoken: Spoken, report: Callable[[float], None]) -> Asked:
        def prompt(task: Task) -> str:
            question = instruction(task, self.family)
            return self.tokenizer.prompt(question, system_prompt(self.family))

        drafts = "off" if spoken.task.to is not None else request.speculative
        is_timed = spoken.task.to is None and (request.align or spoken.piece.overlaps)
        return Asked(
            spoken.piece.samples, prompt, spoken.task, request.new_sampler(),
            request.max_new_tokens, drafts, report, is_timed, request.guarded,
            chooser(spoken.task, request.keywords_per_prompt, request.keyword_boost),
        )  # fmt: skip

    def _written(
        self, listening: Work, spoken: Spoken, answered: Answered
    ) -> tuple[tuple[Segment, ...], list[TranscriptWarning]]:
        """The third step."""
        span_s = listening.assembly.times_s(spoken)
        return written(
            answered.task, spoken.piece.samples, span_s, answered, self.tokenizer, self.family,
            listening.request.guarded,
        )  # fmt: skip

    def letters(self, samples: np.ndarray, checkpoint: Checkpoint) -> Letters:
        """What the character head hears, on the MLX thread, for the splitter."""
        return self.recogniser(checkpoint).letters(samples)


class _Pieces:
    """Pieces in batches, and whose the next one is."""

    def __init__(self, pieces: Iterator[tuple[Listening, Spoken]]) -> None:
        self._pieces = pieces
        self._ahead: list[tuple[Listening, Spoken]] = []

    def batches(
        self, n_first: int, most: Callable[[], int]
    ) -> Iterator[list[tuple[Listening, Spoken]]]:
        """Twice as many each time, so that the first segments come soon, up to `most`."""
        n = n_first
        while batch := [*self._ahead, *islice(self._pieces, n - len(self._ahead))]:
            self._ahead = []
            yield batch
            n = min(2 * n, most())

    def next_of(self) -> Listening | None:
        """The recording that the next piece belongs to: it is read for that. None at the end."""
        self._ahead = list(islice(self._pieces, 1))
        return self._ahead[0][0] if self._ahead else None


def _reports(
    batch: Sequence[tuple[Work, Spoken]],
) -> list[Callable[[float], None]]:
    """For each piece, what tells its recording's caller how far that is.

    When a recording's pieces in the batch are done, so is all that was read of it.
    """
    shares: dict[int, _Share] = {}
    for listening, spoken in batch:
        share = shares.setdefault(id(listening), _Share(listening))
        share.weights.append(len(spoken.piece.samples) / SAMPLE_RATE)
    return [shares[id(listening)].next_report() for listening, _ in batch]


class _Share:
    """The part of one recording that a batch works on."""

    def __init__(self, listening: Work) -> None:
        self.weights: list[float] = []
        self._progress = listening.progress
        self._from, self._to = listening.progress.fraction, listening.reading.fraction
        self._done: list[float] = []

    def next_report(self) -> Callable[[float], None]:
        place = len(self._done)
        self._done.append(0.0)

        def report(fraction: float) -> None:
            self._done[place] = fraction
            done = np.dot(self._done, self.weights) / sum(self.weights)
            self._progress.report(self._from + (self._to - self._from) * float(done))

        return report
