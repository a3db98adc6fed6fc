"""More callers than there is room for, some of which give up: limits, refusals, and closing."""

import asyncio
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import granite_mlx
from granite_mlx import BusyError, Cancelled, CancelToken, GraniteSpeech, TimeLimitReached
from granite_mlx.asynchronous import awaited
from granite_mlx.decoding.batch import Rows
from granite_mlx.selftest.random_weights import random_signal

from .asking import RATE, SECOND, Listen

N_THREADS = 16
ENOUGH_S = 60  # for a thread to be scheduled on a busy machine; nothing waits that long
OPTIONS: dict[str, Any] = {"sample_rate": RATE, "max_new_tokens": 12}


class Gate:
    """Holds the decoder before its next step until it is opened."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.is_reached, self._open = threading.Event(), threading.Event()
        step = Rows.step

        def held(rows: Rows) -> None:
            self.is_reached.set()
            assert self._open.wait(ENOUGH_S)
            step(rows)

        monkeypatch.setattr(Rows, "step", held)

    def open(self) -> None:
        self._open.set()


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> Iterator[Gate]:
    gate = Gate(monkeypatch)
    yield gate
    gate.open()


@pytest.fixture
def _two_at_most(model: GraniteSpeech) -> Iterator[None]:
    model.limit_requests(2)
    yield
    model.limit_requests(None)


def wait_until(is_so: Callable[[], bool]) -> None:
    tick = threading.Event()
    for _ in range(100 * ENOUGH_S):
        if is_so():
            return
        tick.wait(0.01)
    raise AssertionError("it never was so")


def test_sixteen_threads_half_of_which_give_up(model: GraniteSpeech, listen: Listen) -> None:
    signals = [random_signal(6_000 + 700 * n) for n in range(N_THREADS)]
    alone = [listen(one) for one in signals]
    together = threading.Barrier(N_THREADS)

    def stays(signal: np.ndarray) -> list[Any]:
        together.wait(ENOUGH_S)
        return [listen(signal) for _ in range(3)]

    def gives_up(signal: np.ndarray) -> list[Any]:
        together.wait(ENOUGH_S)
        for latest in (0.0, 0.35, 0.4):  # before it is encoded, and among its tokens
            token = CancelToken()

            def on_progress(fraction: float, latest: float = latest, token: Any = token) -> None:
                if fraction >= latest:
                    token.cancel()

            with pytest.raises(Cancelled):
                listen(signal, cancel=token, on_progress=on_progress, max_new_tokens=300)
        return []

    calls = [gives_up if n % 2 else stays for n in range(N_THREADS)]
    with ThreadPoolExecutor(N_THREADS) as pool:
        jobs = [pool.submit(call, signal) for call, signal in zip(calls, signals, strict=True)]
        results = [job.result() for job in jobs]
    assert results == [[] if n % 2 else [one] * 3 for n, one in enumerate(alone)]
    assert model.n_requests == 0
    assert listen(signals[1]) == alone[1]


# Time limits


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    clock = SimpleNamespace(now_s=0.0)
    clock.monotonic = lambda: clock.now_s
    monkeypatch.setattr("granite_mlx.cancelling.time", clock)
    return clock


def test_a_request_whose_time_is_up(listen: Listen, clock: SimpleNamespace) -> None:
    told: list[float] = []

    def on_progress(fraction: float) -> None:
        told.append(fraction)
        if fraction > 0.3:
            clock.now_s = 11.0

    with pytest.raises(TimeLimitReached):
        listen(cancel=CancelToken(timeout_s=10), on_progress=on_progress, max_new_tokens=300)
    assert told[-1] < 0.9
    assert listen(cancel=CancelToken(timeout_s=10)) == listen()


def test_time_is_up_for_one_that_waits_for_a_place(
    folder: Path, monkeypatch: pytest.MonkeyPatch, gate: Gate, clock: SimpleNamespace
) -> None:
    monkeypatch.setattr("granite_mlx.scheduling.MOST_ORDERS", 1)
    with granite_mlx.load(folder) as model, ThreadPoolExecutor(2) as pool:
        first = pool.submit(model.transcribe, SECOND, **OPTIONS)
        assert gate.is_reached.wait(ENOUGH_S)
        token = CancelToken(timeout_s=10)
        second = pool.submit(model.transcribe, SECOND, cancel=token, **OPTIONS)
        wait_until(lambda: model._scheduler.n_callers == 2)
        clock.now_s = 11.0
        with pytest.raises(TimeLimitReached):
            second.result(ENOUGH_S)
        gate.open()
        assert first.result(ENOUGH_S).text


# Refusals


@pytest.mark.usefixtures("_two_at_most")
def test_beyond_the_limit_calls_are_refused(model: GraniteSpeech, gate: Gate) -> None:
    def calls() -> Iterator[Callable[[], Any]]:
        yield lambda: model.transcribe(SECOND, **OPTIONS)
        yield lambda: model.transcribe_batch([SECOND], **OPTIONS)
        yield lambda: model.translate(SECOND, to="fr", **OPTIONS)
        yield lambda: next(model.stream(SECOND, **OPTIONS))
        yield lambda: model.ctc_text(SECOND, sample_rate=RATE)

    with ThreadPoolExecutor(2) as pool:
        jobs = [pool.submit(model.transcribe, SECOND, **OPTIONS) for _ in range(2)]
        wait_until(lambda: model.n_requests == 2)
        for call in calls():
            with pytest.raises(BusyError, match="has 2 requests to answer and takes no more"):
                call()
        gate.open()
        wanted = [job.result(ENOUGH_S) for job in jobs]
    assert model.transcribe(SECOND, **OPTIONS) == wanted[0] == wanted[1]


@pytest.mark.usefixtures("_two_at_most")
def test_a_place_is_given_back_whatever_happens(model: GraniteSpeech) -> None:
    stream = model.stream(SECOND, **OPTIONS)
    assert model.n_requests == 0
    next(stream)
    assert model.n_requests == 1
    stream.close()
    assert model.n_requests == 0

    def fails(*_: object) -> None:
        raise KeyError("of the caller's")

    failures = []
    for call in (
        lambda: model.transcribe(SECOND, on_progress=fails, **OPTIONS),
        lambda: model.transcribe_batch([SECOND] * 2, on_result=fails, batch_size=1, **OPTIONS),
        lambda: model.transcribe("no/such/file.wav"),
    ):
        with pytest.raises((KeyError, granite_mlx.AudioError)) as raised:
            call()
        failures.append(raised)  # whose frames are kept
        assert model.n_requests == 0


@pytest.mark.parametrize("most", [0, -1, 2.0, True])
def test_limits_that_are_none(model: GraniteSpeech, most: Any) -> None:
    with pytest.raises((TypeError, ValueError), match="most must be"):
        model.limit_requests(most)


# Closing


def test_all_who_wait_for_a_model_that_is_closed_are_told(
    folder: Path, monkeypatch: pytest.MonkeyPatch, gate: Gate
) -> None:
    monkeypatch.setattr("granite_mlx.scheduling.MOST_ORDERS", 3)
    model = granite_mlx.load(folder)
    with ThreadPoolExecutor(9) as pool:
        jobs = [pool.submit(model.transcribe, SECOND, **OPTIONS) for _ in range(8)]
        wait_until(lambda: model._scheduler.n_callers == 8)
        assert gate.is_reached.wait(ENOUGH_S)
        closing = pool.submit(model.close)
        gate.open()
        closing.result(ENOUGH_S)
        errors = [job.exception(ENOUGH_S) for job in jobs]
    done = [error for error in errors if error is None]  # what the last step completed
    told = [str(error) for error in errors if error is not None]
    assert len(done) <= 3
    assert len(told) >= 5
    assert all("closed" in one for one in told)
    assert model.n_requests == 0
    model.close()


# Awaited


def test_a_stream_awaited(model: GraniteSpeech) -> None:
    wanted = [*model.stream(SECOND, **OPTIONS)]

    async def gathered() -> list[Any]:
        return [one async for one in model.stream_async(SECOND, **OPTIONS)]

    assert asyncio.run(gathered()) == wanted
    with pytest.raises(ValueError, match="top_p"):
        model.stream_async(SECOND, top_p=3.0)


def test_a_stream_that_is_left_ends(model: GraniteSpeech) -> None:
    async def first() -> Any:
        async for segment in model.stream_async(SECOND, **OPTIONS):
            assert model.n_requests == 1
            return segment

    assert asyncio.run(first())
    assert model.n_requests == 0


def test_a_batch_awaited(model: GraniteSpeech, listen: Listen) -> None:
    found = asyncio.run(model.transcribe_batch_async([SECOND] * 3, **OPTIONS))
    assert found == [listen()] * 3


def test_a_task_that_is_cancelled_before_it_begins_never_does(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    called: list[str] = []
    begun, goes_on = threading.Event(), threading.Event()

    def long(token: CancelToken) -> None:
        begun.set()
        assert goes_on.wait(ENOUGH_S)

    async def both() -> None:
        first = asyncio.create_task(awaited(long, None))
        await asyncio.to_thread(begun.wait, ENOUGH_S)
        second = asyncio.create_task(awaited(lambda token: called.append("second"), None))
        await asyncio.sleep(0)
        second.cancel()
        with pytest.raises(asyncio.CancelledError):
            await second
        assert not first.done()
        goes_on.set()
        await first

    with ThreadPoolExecutor(1) as pool:
        monkeypatch.setattr("granite_mlx.asynchronous._pool", lambda: pool)
        asyncio.run(both())
    assert called == []


def test_a_task_that_is_cancelled_leaves_others_with_its_token(
    model: GraniteSpeech, listen: Listen, gate: Gate
) -> None:
    token = CancelToken()

    async def both() -> Any:
        first, second = (
            asyncio.create_task(model.transcribe_async(SECOND, cancel=token, **OPTIONS))
            for _ in range(2)
        )
        await asyncio.to_thread(wait_until, lambda: model.n_requests == 2)
        first.cancel()
        await asyncio.sleep(0)
        gate.open()
        with pytest.raises(asyncio.CancelledError):
            await first
        return await second

    assert asyncio.run(both()) == listen()
    assert not token.is_cancelled
    token.cancel()
    with pytest.raises(Cancelled):
        asyncio.run(model.transcribe_async(SECOND, cancel=token, **OPTIONS))


def test_a_stream_awaited_stops_with_its_task(model: GraniteSpeech, gate: Gate) -> None:
    async def cancelled() -> None:
        stream = model.stream_async(SECOND, **OPTIONS)
        task = asyncio.create_task(anext(stream))
        await asyncio.to_thread(gate.is_reached.wait, ENOUGH_S)
        task.cancel()
        await asyncio.sleep(0)
        gate.open()
        await task

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(cancelled())
    assert model.n_requests == 0
