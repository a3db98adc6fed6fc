"""Many callers of one model: each gets what it would get alone, and nobody waits for ever."""

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import mlx.core as mx
import numpy as np
import pytest

import granite_mlx
from granite_mlx import Cancelled, CancelToken, GraniteSpeech, RecognitionError
from granite_mlx.decoding.batch import Rows
from granite_mlx.recognition import Answered, Recogniser
from granite_mlx.selftest.random_weights import random_signal

from .asking import RATE, SECOND, Listen

N_THREADS = 16


def test_sixteen_threads_decode_in_one_batch(
    model: GraniteSpeech, listen: Listen, monkeypatch: pytest.MonkeyPatch
) -> None:
    signals = [random_signal(6_000 + 700 * n) for n in range(N_THREADS)]
    alone = [listen(one) for one in signals]
    n_rows: list[int] = []
    step = Rows.step

    def counted(self: Rows) -> None:
        n_rows.append(len(self.rows))
        step(self)

    monkeypatch.setattr(Rows, "step", counted)
    together = threading.Barrier(N_THREADS)

    def call(signal: np.ndarray) -> Any:
        together.wait()
        return [listen(signal) for _ in range(3)]

    with ThreadPoolExecutor(N_THREADS) as pool:
        results = list(pool.map(call, signals))
    assert results == [[one] * 3 for one in alone]
    assert 1 < max(n_rows) <= 8


def test_one_that_is_cancelled_leaves_the_others(listen: Listen) -> None:
    wanted, token = listen(), CancelToken()

    def on_progress(fraction: float) -> None:
        if fraction > 0.3:
            token.cancel()

    with ThreadPoolExecutor(4) as pool:
        others = [pool.submit(listen) for _ in range(3)]
        with pytest.raises(Cancelled):
            listen(cancel=token, on_progress=on_progress, max_new_tokens=300)
    assert [one.result() for one in others] == [wanted] * 3


def test_where_the_decoder_fails_each_is_tried_alone(
    listen: Listen, model: GraniteSpeech, monkeypatch: pytest.MonkeyPatch
) -> None:
    signals = [random_signal(n) for n in (16_000, 15_800, 15_600)]
    wanted = [listen(one) for one in signals]
    step = Rows.step

    def fails_in_company(self: Rows) -> None:
        if len(self.rows) > 1:
            raise RuntimeError("out of memory")
        step(self)

    monkeypatch.setattr(Rows, "step", fails_in_company)
    got = model.transcribe_batch(signals, sample_rate=RATE, max_new_tokens=12)
    assert got == wanted


def test_an_answer_that_cannot_be_settled_is_one_recording_s_error(
    listen: Listen, model: GraniteSpeech, monkeypatch: pytest.MonkeyPatch
) -> None:
    signals = [random_signal(n) for n in (16_000, 15_800, 15_600)]
    wanted = [listen(one) for one in signals]
    settled, calls = Recogniser.settled, []

    def fails_once(self: Recogniser, *args: Any) -> Answered:
        calls.append(args)
        if len(calls) == 2:
            raise KeyError("no such token")
        return settled(self, *args)

    monkeypatch.setattr(Recogniser, "settled", fails_once)
    found = model.transcribe_batch(signals, sample_rate=RATE, max_new_tokens=12)
    failed = [n for n, one in enumerate(found) if isinstance(one, RecognitionError)]
    assert len(failed) == 1
    assert [one for n, one in enumerate(found) if n not in failed] == [
        one for n, one in enumerate(wanted) if n not in failed
    ]


def test_unloaded_weights_come_back(folder: Any) -> None:
    with granite_mlx.load(folder, dtype="float32") as model:
        wanted = model.transcribe(SECOND, sample_rate=RATE, max_new_tokens=9)
        before = mx.get_active_memory()
        assert model.unload()
        assert not model.is_loaded
        assert model.dtype == "float32"
        assert mx.get_active_memory() < before
        assert model.transcribe(SECOND, sample_rate=RATE, max_new_tokens=9) == wanted
        assert model.is_loaded


def test_unloaded_when_idle(folder: Any) -> None:
    with granite_mlx.load(folder) as model:
        with pytest.raises(ValueError, match="idle_s"):
            model.unload_when_idle(0)
        gone = threading.Event()
        free = model._free
        model._free = lambda: (free(), gone.set())  # type: ignore[method-assign,assignment]
        model.unload_when_idle(0.05)
        assert gone.wait(60)
        assert model.transcribe(SECOND, sample_rate=RATE, max_new_tokens=3)


def test_a_closed_model_says_so(folder: Any) -> None:
    model = granite_mlx.load(folder)
    model.close()
    with pytest.raises(RuntimeError, match="closed"):
        model.transcribe(SECOND, sample_rate=RATE)


def test_awaited(model: GraniteSpeech, listen: Listen) -> None:
    wanted = listen()

    async def several() -> list[Any]:
        options = {"sample_rate": RATE, "max_new_tokens": 12}
        return await asyncio.gather(*[model.transcribe_async(SECOND, **options) for _ in range(5)])

    assert asyncio.run(several()) == [wanted] * 5


def test_a_cancelled_task_stops_the_work(model: GraniteSpeech, listen: Listen) -> None:
    begun, steps = threading.Event(), []

    def on_progress(fraction: float) -> None:
        steps.append(fraction)
        begun.set()

    async def cancelled() -> None:
        options = {"sample_rate": RATE, "max_new_tokens": 400, "on_progress": on_progress}
        task = asyncio.create_task(model.transcribe_async(SECOND, **options))
        await asyncio.to_thread(begun.wait, 60)
        task.cancel()
        await task

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(cancelled())
    n_steps = len(steps)
    assert listen().text
    assert len(steps) == n_steps < 300
