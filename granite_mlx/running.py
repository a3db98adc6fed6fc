"""The one batch in which the pieces of many callers are encoded and decoded, on the MLX thread.

Between two steps of the decoder, pieces that wait are encoded and join it. Callers come in turn, so
that a short recording does not wait for a long one; like goes with like where pieces are encoded
together. A piece gets what it would get alone. Who waits on which thread, this module does not
know: that is the business of scheduling.py.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace

from granite_mlx.decoding.batch import Row, Rows
from granite_mlx.decoding.generate import Generated
from granite_mlx.engine import Cancelled
from granite_mlx.recognition import Answered, Asked, Prepared, Recogniser

MOST_FRAMES = 3000
"""Of pieces that are encoded together, padding included: 60 s, so that memory is bounded."""

MOST_PADDING = 0.1
"""Of the frames of pieces that are encoded together, those that may be padding."""

Checkpoint = Callable[[], None]
Answer = Answered | Exception


class Order:
    """Pieces that one caller wants answered, and what becomes of them.

    Args:
        n_rows: the most of them that are decoded at once.
        check: called between the steps; what it raises ends the order.
    """

    def __init__(self, askeds: Sequence[Asked], n_rows: int, check: Checkpoint) -> None:
        self.n_rows = n_rows
        self.n_ready = self.n_at_work = 0
        self.n_left = len(askeds)
        # The longest first: what ends an order is then short, and neighbours are alike.
        by_length = sorted(range(len(askeds)), key=lambda n: -len(askeds[n].samples))
        self.waiting = [OrderedPiece(self, n, self._watched(askeds[n])) for n in by_length]
        self._answers: list[Answer | None] = [None] * len(askeds)
        self._check = check
        self._error: BaseException | None = None
        self._is_abandoned = False
        self._done: Future[list[Answer | None]] = Future()

    def is_wanted(self) -> bool:
        """Whether the caller still waits for it."""
        if self._error is None:
            try:
                self._check()
            except BaseException as error:
                self._error = error
            if self._is_abandoned:
                self._error = Cancelled()
        return self._error is None

    def abandon(self) -> None:
        """From any thread: nobody waits any more."""
        self._is_abandoned = True

    def fail(self, error: BaseException) -> None:
        """It cannot be gone on with; the first reason counts."""
        self._error = self._error or error

    def answered(self, number: int, answer: Answer) -> None:
        """One of its pieces is done."""
        self._answers[number] = answer
        self.n_left -= 1

    @property
    def is_over(self) -> bool:
        """Whether all is done, or nothing more is to be."""
        return self.n_left == 0 or self._error is not None

    def resolve(self) -> None:
        """Let the caller go on."""
        if self._error is not None:
            self._done.set_exception(self._error)
        else:
            self._done.set_result(self._answers)

    def wait(self, longest_s: float | None = None) -> bool:
        """On the caller's thread: wait a while. Whether it is resolved."""
        try:
            self._done.exception(longest_s)
        except TimeoutError:
            return self._done.done()
        return True

    def result(self) -> list[Answer]:
        """The answers in the order of the pieces, or an error in the place of one that failed.

        Raises what ended the order.
        """
        return [answer for answer in self._done.result() if answer is not None]

    def _watched(self, asked: Asked) -> Asked:
        def report(fraction: float) -> None:
            if self.is_wanted():
                try:
                    asked.report(fraction)
                except BaseException as error:  # the caller's own, which it gets back
                    self.fail(error)

        return replace(asked, report=report, is_wanted=self.is_wanted)


@dataclass(eq=False)
class OrderedPiece:
    """A piece of an order: `number` is its place there."""

    order: Order
    number: int
    asked: Asked
    prepared: Prepared | None = None

    def answer(self, answer: Answer) -> None:
        self.order.answered(self.number, answer)


class RunningBatch:
    """All orders, and the rows at work. Every call is on the MLX thread.

    Args:
        recogniser: makes what computes, told a function that it calls between its steps.
        checkpoint: raises `Cancelled` where the process ends.
    """

    def __init__(
        self, recogniser: Callable[[Checkpoint], Recogniser], checkpoint: Checkpoint
    ) -> None:
        self._new_recogniser, self._checkpoint = recogniser, checkpoint
        self._orders: deque[Order] = deque()
        self._forget()

    def add(self, order: Order) -> None:
        """Take a new order."""
        self._orders.append(order)

    @property
    def is_idle(self) -> bool:
        """Whether there is nothing to do."""
        return not self._orders

    def turn(self) -> None:
        """Let pieces join, and take the decoder a step further.

        What a piece fails of is its answer; where several were at work, each is tried alone first.
        """
        try:
            self._fill()
            if self._rows is not None:
                self._rows.step()
                self._collect(self._rows)
        except Exception as error:
            self._set_apart(error)
        for order in [one for one in self._orders if not one.is_wanted() or one.is_over]:
            self._orders.remove(order)
            order.resolve()
        if self.is_idle:
            self._forget()

    def end(self, error: BaseException) -> None:
        """Nothing is gone on with."""
        for order in self._orders:
            order.fail(error)
            order.resolve()
        self._orders.clear()
        self._forget()

    def _forget(self) -> None:
        self._recogniser: Recogniser | None = None
        self._rows: Rows | None = None
        self._at_work: dict[int, OrderedPiece] = {}
        self._ready: list[OrderedPiece] = []  # encoded
        self._again: list[Row] = []  # asked something else, in a row that was theirs
        self._apart: deque[OrderedPiece] = deque()  # each to be tried alone
        self._n_joined = 0

    def _fill(self) -> None:
        """Encode what there is room for, and let it join."""
        if self._recogniser is None:
            self._checkpoint()
            self._recogniser = self._new_recogniser(self._between_steps)
        recogniser = self._recogniser
        if self._rows is None:
            self._rows = Rows(recogniser.network.language_model, recogniser.config.text, 1)
        most = max((order.n_rows for order in self._orders), default=1)
        self._rows.n_slots = min(most, sum(order.n_left for order in self._orders))
        joining, self._again = self._again, []
        if self._apart:
            joining += self._one_apart() if not (self._rows.rows or joining) else []
        else:
            n_free = self._rows.n_free - len(joining)
            joining += self._new_rows(n_free)
        self._rows.join(joining)

    def _new_rows(self, n_free: int) -> list[Row]:
        """Rows of the next pieces, in fair order."""
        assert self._rows is not None
        rows: list[Row] = []
        while len(rows) < n_free:
            piece = self._next_ready()
            if piece is not None:
                rows.append(self._row_of(piece))
            elif group := next_group(self._orders, self._rows.n_slots, self._n_frames):
                self._encode(group)
            else:
                break
            if self._apart:
                break
        return rows

    def _one_apart(self) -> list[Row]:
        self._encode([self._apart.popleft()])
        piece = self._next_ready()
        return [] if piece is None else [self._row_of(piece)]

    def _next_ready(self) -> OrderedPiece | None:
        """The next encoded piece whose order may have one more at work."""
        self._ready = [piece for piece in self._ready if piece.order.is_wanted()]
        for place, piece in enumerate(self._ready):
            if piece.order.n_at_work < piece.order.n_rows:
                piece.order.n_ready -= 1
                return self._ready.pop(place)
        return None

    def _row_of(self, piece: OrderedPiece) -> Row:
        assert piece.prepared is not None
        self._n_joined += 1
        self._at_work[self._n_joined] = piece
        piece.order.n_at_work += 1
        return Row(self._n_joined, piece.prepared.question)

    def _encode(self, group: Sequence[OrderedPiece]) -> None:
        assert self._recogniser is not None
        self._encoding = group
        try:
            prepared = self._recogniser.prepared([piece.asked for piece in group])
        except Cancelled:
            if any(piece.order.is_wanted() for piece in group):  # the process ends
                raise
            return
        except Exception as error:
            if len(group) == 1:
                group[0].answer(error)
            else:
                self._apart.extend(group)
            return
        for piece, one in zip(group, prepared, strict=True):
            piece.prepared = one
            if one.text is not None:
                self._settle(piece, None)
            else:
                piece.order.n_ready += 1
                self._ready.append(piece)

    def _between_steps(self) -> None:
        """Raises `Cancelled` where the process ends, or nobody wants what is encoded."""
        self._checkpoint()
        if not any(piece.order.is_wanted() for piece in self._encoding):
            raise Cancelled

    def _collect(self, rows: Rows) -> None:
        """The answers of rows that are done."""
        for row in rows.leave():
            following = row.following
            if following is not None:
                self._again.append(following)
                continue
            piece = self._at_work.pop(row.number)
            piece.order.n_at_work -= 1
            if piece.order.is_wanted():
                self._settle(piece, row.generated)

    def _settle(self, piece: OrderedPiece, generated: Generated | None) -> None:
        """Whatever happens, the piece has an answer: its caller waits."""
        assert self._recogniser is not None
        assert piece.prepared is not None
        try:
            answer: Answer = self._recogniser.settled(piece.prepared, generated)
        except Exception as error:
            answer = error
        piece.answer(answer)

    def _set_apart(self, error: Exception) -> None:
        """The decoder failed: what was at work is begun anew, each by itself."""
        self._rows, self._again = None, []
        failed, self._at_work = [*self._at_work.values()], {}
        for piece in failed:
            piece.order.n_at_work -= 1
        if len(failed) == 1:
            failed[0].answer(error)
        elif failed:
            self._apart.extend(failed)
        else:  # nothing can be made of any piece: no weights, say
            self.end(error)

    def _n_frames(self, piece: OrderedPiece) -> int:
        assert self._recogniser is not None
        return self._recogniser.features.n_frames(len(piece.asked.samples))


def next_group(
    orders: deque[Order], n_most: int, n_frames: Callable[[OrderedPiece], int]
) -> list[OrderedPiece]:
    """Pieces that are encoded together next: the longest one of the order whose turn it is, and
    others that are hardly shorter. The order goes to the end of the queue.
    """
    for _ in range(len(orders)):
        leader = orders[0]
        orders.rotate(-1)
        if _may_encode(leader):
            break
    else:
        return []
    group = [leader.waiting.pop(0)]
    longest = n_real = n_frames(group[0])
    taken = {id(leader): 1}
    while len(group) < n_most:
        n_before = len(group)
        for order in (leader, *(one for one in orders if one is not leader)):
            n_taken = taken.get(id(order), 0)
            if len(group) == n_most or n_taken == order.n_rows:
                continue
            if order is not leader and not _may_encode(order):
                continue
            n_computed = longest * (len(group) + 1)
            least = n_computed * (1 - MOST_PADDING) - n_real
            place = _fitting(order, least if n_computed <= MOST_FRAMES else math.inf, longest,
                             n_frames)  # fmt: skip
            if place is not None:
                group.append(order.waiting.pop(place))
                n_real += n_frames(group[-1])
                taken[id(order)] = n_taken + 1
        if len(group) == n_before:
            break
    return group


def _may_encode(order: Order) -> bool:
    """Whether the order is in need of an encoded piece."""
    is_needed = not order.n_ready and order.n_at_work < order.n_rows
    return bool(order.waiting) and is_needed and order.is_wanted()


def _fitting(
    order: Order, least: float, most: int, n_frames: Callable[[OrderedPiece], int]
) -> int | None:
    """The place of the longest waiting piece that has from `least` to `most` frames."""

    def fitting() -> Iterator[int]:
        for place, piece in enumerate(order.waiting):
            n = n_frames(piece)
            if n < least:
                return
            if n <= most:
                yield place

    return next(fitting(), None)
