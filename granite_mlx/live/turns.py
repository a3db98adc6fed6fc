"""The core of a live session: samples in, events out, all on the caller's thread.

What MLX computes runs on its own thread, where other sessions and requests take turns with it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator

import numpy as np

from granite_mlx.biasing.prompting import unsearchable
from granite_mlx.listening import Listener
from granite_mlx.live.cutting import CommitSplitter, OpenPiece, PauseSplitter
from granite_mlx.live.drafting import DraftState, begun, grown, shown
from granite_mlx.live.events import Draft, Event, Final, TurnDone, TurnStarted, TurnStopped
from granite_mlx.live.hearing import LiveWork
from granite_mlx.live.options import TurnsEnd
from granite_mlx.reading import Spoken, may_hold_words
from granite_mlx.request import Request
from granite_mlx.segments.activity import FRAMES_PER_S, HOP_SAMPLES
from granite_mlx.segments.splitter import Piece
from granite_mlx.transcript import Transcript

ANNOUNCED_FRAMES = 40
"""An open piece of so many frames is told: what was a click is known by then, nearly always."""

SHORTEST_DRAFT_FRAMES = 20
"""Of an open piece: less holds no word."""


class Turns:
    """Makes turns of live sound that end where somebody commits them."""

    def __init__(self, request: Request, listener: Listener, block_s: float) -> None:
        """`block_s` is how long the blocks of the encoder's attention are."""
        self._request = request
        self._task = request.stretches[0].task
        self._work = LiveWork(request, listener)
        n_most, boost = request.keywords_per_prompt, request.keyword_boost
        self._work.assembly.warn(unsearchable(self._task, n_most, boost))
        self._block_frames = round(block_s * FRAMES_PER_S)
        self._splitter = self._new_splitter()
        self._turn = 0
        self._is_open = False  # whether its start has been told
        self._pending: deque[int] = deque()  # the turns of pieces that have not settled
        self._draft: DraftState | None = None
        self._shown = ""

    @property
    def now_s(self) -> float:
        """How much was heard, in seconds."""
        return self._work.reading.now_s

    def push(self, samples: np.ndarray) -> Iterator[Event]:
        """(n,) more samples at 16 kHz -> what becomes known with them."""
        if len(samples) and not self._is_open:
            yield self._started(self._work.reading.n_samples)
        self._work.reading.n_samples += len(samples)
        for piece in self._splitter.push(samples):
            yield from self._taken(piece)

    def commit(self) -> Iterator[Event]:
        """What was said so far is a turn, whatever follows."""
        if not self._is_open:
            return
        turn = self._turn
        yield self._stopped(self._work.reading.n_samples)
        for piece in self._splitter.finish():
            yield from self._taken(piece, turn)
        self._work.assembly.finish()
        yield from self._finals()
        yield TurnDone(turn)
        self._splitter = self._new_splitter()

    def clear(self) -> Iterator[Event]:
        """What was not committed is forgotten, except what is final already."""
        self._splitter = self._new_splitter()
        self._work.assembly.finish()
        yield from self._finals()
        yield from self._forgotten()

    def draft(self) -> Iterator[Draft]:
        """The open turn's draft, if it is another one than before. Takes an encoder's run."""
        piece = self._splitter.open
        if not self._is_open or piece is None or len(piece.samples) < _SHORTEST_DRAFT:
            return
        text = self._heard_so_far(piece)
        if text != self._shown:
            self._shown = text
            yield Draft(self._turn, text)

    def transcript(self, model_id: str) -> Transcript:
        """All that is final; what waits for the next piece is, too."""
        self._work.assembly.finish()
        return self._work.assembly.transcript(model_id)

    def _new_splitter(self) -> CommitSplitter:
        return self._make_splitter(CommitSplitter)

    def _make_splitter(self, kind: Callable[..., CommitSplitter]) -> CommitSplitter:
        return kind(
            self._request.limits,
            self._work.hear,
            start=self._work.reading.n_samples,
            overlaps=self._task.to is None,
        )

    def _started(self, sample: int) -> TurnStarted:
        self._is_open = True
        return TurnStarted(self._turn, self._at_s(sample))

    def _stopped(self, sample: int) -> TurnStopped:
        stopped = TurnStopped(self._turn, self._at_s(sample))
        self._turn += 1
        self._is_open, self._draft, self._shown = False, None, ""
        return stopped

    def _forgotten(self) -> Iterator[TurnDone]:
        if self._is_open:
            self._stopped(self._work.reading.n_samples)
            yield TurnDone(self._turn - 1, is_cleared=True)

    def _taken(self, piece: Piece, turn: int | None = None) -> Iterator[Event]:
        """Write down a piece of a turn, the open one unless it is told."""
        if not may_hold_words(piece):
            return
        turn = self._turn if turn is None else turn
        seam_at = self._splitter.seam_at
        [n_pieces] = self._work.listener.take([(self._work, Spoken(piece, 0, self._task))], 1)
        self._pending += [turn] * n_pieces
        yield from self._finals()
        if piece.joined_on and seam_at is not None:
            yield Draft(turn, self._work.assembly.held_text(seam_at))

    def _finals(self) -> Iterator[Event]:
        for one in self._work.assembly.settled():
            start_s, end_s = self._work.assembly.times_s(one.spoken)
            warnings = self._work.assembly.new_warnings()
            yield Final(self._pending.popleft(), start_s, end_s, one.segments, warnings, one.error)

    def _heard_so_far(self, piece: OpenPiece) -> str:
        state = self._draft
        if state is None or state.start != piece.start:
            state = begun(piece.start, piece.seam)
        window = piece.samples[state.window_samples :]
        letters = self._work.hear(window)
        self._draft = grown(state, letters, len(piece.samples), self._block_frames)
        return shown(self._draft)

    def _at_s(self, sample: int) -> float:
        return sample / _SAMPLES_PER_S


class TurnsAtPauses(Turns):
    """Turns end where somebody pauses; a commit ends one, too."""

    _splitter: PauseSplitter

    def push(self, samples: np.ndarray) -> Iterator[Event]:
        """(n,) more samples at 16 kHz -> what becomes known with them."""
        while len(samples):
            n_now = min(len(samples), self._splitter.n_until_decision)
            self._work.reading.n_samples += n_now
            for piece in self._splitter.push(samples[:n_now]):
                yield from self._turn_of(piece)
            samples = samples[n_now:]
            yield from self._opened_or_gone()

    def commit(self) -> Iterator[Event]:
        """What was said so far is a turn, whatever follows."""
        for piece in self._splitter.finish():
            yield from self._turn_of(piece)
        self._splitter = self._new_splitter()
        yield from self._opened_or_gone()
        yield from self._release()

    def clear(self) -> Iterator[Event]:
        """What is in no turn that has stopped is forgotten."""
        self._splitter = self._new_splitter()
        yield from self._release()
        yield from self._forgotten()

    def _new_splitter(self) -> PauseSplitter:
        return self._make_splitter(PauseSplitter)  # type: ignore[return-value]

    def _turn_of(self, piece: Piece) -> Iterator[Event]:
        if not may_hold_words(piece):
            return
        if not self._is_open:
            yield self._started(piece.start if piece.seam is None else piece.seam.at)
        turn, seam_at = self._turn, self._splitter.seam_at
        yield self._stopped(seam_at if piece.joined_on and seam_at is not None else piece.end)
        yield from self._taken(piece, turn)

    def _finals(self) -> Iterator[Event]:
        for final in super()._finals():
            yield final
            yield TurnDone(final.turn)

    def _opened_or_gone(self) -> Iterator[Event]:
        """What sounded like speech is told once it is longer than a click, and if it was none."""
        piece = self._splitter.open
        if piece is None:
            if self._is_open:
                turn = self._turn
                yield from self._release()
                yield self._stopped(self._work.reading.n_samples)
                yield TurnDone(turn)
        elif not self._is_open and len(piece.samples) >= ANNOUNCED_FRAMES * HOP_SAMPLES:
            yield self._started(piece.seam)

    def _release(self) -> Iterator[Event]:
        self._work.assembly.finish()
        yield from self._finals()


def turns_that_end_at(where: TurnsEnd) -> type[Turns]:
    """ValueError for another place."""
    kinds: dict[str, type[Turns]] = {"pauses": TurnsAtPauses, "commits": Turns}
    if where not in kinds:
        raise ValueError(f"turns must be pauses or commits, not {where!r}.")
    return kinds[where]


_SAMPLES_PER_S = FRAMES_PER_S * HOP_SAMPLES
_SHORTEST_DRAFT = SHORTEST_DRAFT_FRAMES * HOP_SAMPLES
