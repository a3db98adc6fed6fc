"""Progress, other threads, and Ctrl-C."""

import io
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

import granite_mlx
from granite_mlx import GraniteSpeech
from granite_mlx.engine import shared_thread
from granite_mlx.model.encoder import Encoded, Encoder
from granite_mlx.model.projector import Projector
from granite_mlx.selftest.random_weights import random_signal

from .asking import RATE, Listen

ENOUGH_S = 60  # for a thread to be scheduled on a busy machine; nothing waits that long


def test_progress_grows_to_one(listen: Listen) -> None:
    for n_tokens in (1, 2, 12):
        fractions: list[float] = []
        listen(on_progress=fractions.append, max_new_tokens=n_tokens)
        assert fractions == sorted(fractions)
        assert fractions[0] > 0
        assert fractions[-1] == 1.0
        assert len(fractions) >= n_tokens


@pytest.mark.parametrize("at", [0, 3, -1])
@pytest.mark.parametrize("error", [KeyError, SystemExit, KeyboardInterrupt])
def test_what_on_progress_raises(at: int, error: type[BaseException], listen: Listen) -> None:
    wanted = listen()
    fractions: list[float] = []
    listen(on_progress=fractions.append)
    last = fractions[at]

    def on_progress(fraction: float) -> None:
        if fraction >= last:
            raise error("from on_progress")

    with pytest.raises(error, match="from on_progress"):
        listen(on_progress=on_progress)
    assert listen() == wanted


def test_on_progress_may_use_the_model(model: GraniteSpeech, listen: Listen) -> None:
    texts: list[str] = []

    def on_progress(fraction: float) -> None:
        if not texts:
            texts.append(listen(random_signal(RATE // 2)).text)

    wanted = listen()
    assert listen(on_progress=on_progress) == wanted
    assert texts == [listen(random_signal(RATE // 2)).text]


# Threads


def test_several_threads_at_once(listen: Listen) -> None:
    requests = [(random_signal(n), {"seed": n, "temperature": 1.0}) for n in (4000, 9000, 16000)]
    requests += [(random_signal(n), {}) for n in (5000, 12000)]
    one_by_one = [listen(samples, **options) for samples, options in requests]
    with ThreadPoolExecutor(5) as pool:
        jobs = [pool.submit(listen, samples, **options) for samples, options in requests * 2]
    assert [job.result() for job in jobs] == one_by_one * 2


class SlowPipe(io.RawIOBase):
    """A pipe in which nothing is until `fill`; tells when somebody waits, and on which thread."""

    def __init__(self) -> None:
        self.is_awaited, self._is_full = threading.Event(), threading.Event()
        self.readers: set[threading.Thread] = set()
        self._held = io.BytesIO()

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        self.readers.add(threading.current_thread())
        if size == 0:
            return b""
        self.is_awaited.set()
        assert self._is_full.wait(ENOUGH_S)
        return self._held.read(size)

    def fill(self, content: bytes) -> None:
        self._held = io.BytesIO(content)
        self._is_full.set()


@pytest.mark.parametrize("method", ["transcribe", "ctc_text"])
def test_a_silent_pipe_holds_nobody_up(
    model: GraniteSpeech, listen: Listen, wav: Path, method: str
) -> None:
    pipe, work = SlowPipe(), getattr(model, method)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(work, pipe)
        assert pipe.is_awaited.wait(ENOUGH_S)
        assert listen().text
        assert not waiting.done()
        pipe.fill(wav.read_bytes())
        assert waiting.result() == work(wav)


def test_file_objects_are_read_on_the_caller_s_thread(model: GraniteSpeech, wav: Path) -> None:
    pipe = SlowPipe()
    pipe.fill(wav.read_bytes())
    model.transcribe(pipe, max_new_tokens=1)
    assert pipe.readers == {threading.current_thread()}


# Ctrl-C


def press_ctrl_c() -> None:
    signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)


@pytest.fixture
def _ctrl_c_is_heard() -> Iterator[None]:
    """A shell starts background jobs with SIGINT ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("_ctrl_c_is_heard")
def test_ctrl_c_stops_the_work(listen: Listen) -> None:
    wanted = listen()
    steps: list[float] = []

    def on_progress(fraction: float) -> None:
        steps.append(fraction)
        if len(steps) == 3:
            press_ctrl_c()
        elif len(steps) > 3:
            time.sleep(0.05)  # in which the caller wakes up

    with pytest.raises(KeyboardInterrupt):
        listen(on_progress=on_progress, max_new_tokens=400)
    n_steps = len(steps)
    assert 3 <= n_steps < 300
    assert listen() == wanted
    assert len(steps) == n_steps


@pytest.mark.usefixtures("_ctrl_c_is_heard")
def test_ctrl_c_while_a_pipe_is_silent(model: GraniteSpeech, listen: Listen) -> None:
    read_on: list[bool] = []

    class Silent(SlowPipe):
        def read(self, size: int = -1) -> bytes:
            if size:
                press_ctrl_c()
                time.sleep(0.5)  # in which the caller wakes up, if it is another thread
                read_on.append(True)
            return b""

    with pytest.raises(KeyboardInterrupt):
        model.transcribe(Silent())
    assert read_on == []
    assert listen().text


def until_the_caller_has_gone() -> None:
    """On the MLX thread, behind a Ctrl-C."""
    job = shared_thread()._at_hand
    assert job is not None
    wait_until(lambda: job.abandoned)


def wait_until(is_so: Callable[[], bool]) -> None:
    latest_s = time.monotonic() + ENOUGH_S
    while not is_so():
        assert time.monotonic() < latest_s
        time.sleep(0.01)


@pytest.mark.usefixtures("_ctrl_c_is_heard")
def test_ctrl_c_between_encoder_and_projector(
    model: GraniteSpeech, listen: Listen, monkeypatch: pytest.MonkeyPatch
) -> None:
    encode, projected = Encoder.__call__, []

    def interrupted(self: Encoder, *args: Any) -> Encoded:
        press_ctrl_c()
        (order,) = model._scheduler._batch._orders
        wait_until(lambda: not order.is_wanted())
        return encode(self, *args)

    monkeypatch.setattr(Encoder, "__call__", interrupted)
    monkeypatch.setattr(Projector, "__call__", lambda self, *args: projected.append(args))
    with pytest.raises(KeyboardInterrupt):
        listen()
    assert projected == []


@pytest.mark.usefixtures("_ctrl_c_is_heard")
def test_ctrl_c_between_layers_of_the_weights(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    n_layers: list[int] = []

    def load_weights(*args: Any) -> None:
        on_layer = args[-1]
        press_ctrl_c()
        until_the_caller_has_gone()
        for number in range(3):
            n_layers.append(number)
            on_layer()

    monkeypatch.setattr("granite_mlx.loading.load_weights", load_weights)
    with pytest.raises(KeyboardInterrupt):
        granite_mlx.load(folder)
    assert n_layers == [0]
