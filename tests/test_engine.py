import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import mlx.core as mx
import pytest

from granite_mlx.engine import Cancelled, MLXThread, shared_thread

ENOUGH_S = 60  # for a thread to be scheduled on a busy machine; nothing waits that long


@pytest.fixture(scope="module")
def thread() -> MLXThread:
    return MLXThread()


@pytest.fixture(autouse=True)
def _ctrl_c_is_heard() -> Iterator[None]:
    """A shell starts background jobs with SIGINT ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def wait(event: threading.Event) -> None:
    assert event.wait(ENOUGH_S)


def press_ctrl_c() -> None:
    """As the terminal does it: the signal reaches the process, and Python's main thread."""
    signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)


def cancelled_at_a_checkpoint(thread: MLXThread, outcome: list[str]) -> None:
    """Work that presses Ctrl-C and then goes on until it is told to stop."""
    press_ctrl_c()
    try:
        while True:
            thread.checkpoint()
            mx.eval(mx.ones(3) + 1)
    except Cancelled:
        outcome.append("cancelled")
        raise


# Running


def test_results_and_arguments(thread: MLXThread) -> None:
    assert thread.run(divmod, 17, 5) == (3, 2)
    assert thread.run(sorted, [1, 3, 2], reverse=True) == [3, 2, 1]


def test_all_work_runs_on_one_other_thread(thread: MLXThread) -> None:
    used = {thread.run(threading.get_ident) for _ in range(5)}
    with ThreadPoolExecutor(4) as pool:
        used |= set(pool.map(lambda _: thread.run(threading.get_ident), range(8)))
    assert len(used) == 1
    assert threading.get_ident() not in used


def test_one_at_a_time(thread: MLXThread) -> None:
    running: list[int] = []
    seen: list[int] = []

    def work(number: int) -> int:
        running.append(number)
        mx.eval(mx.ones((50, 50)) @ mx.ones((50, 50)))
        seen.append(len(running))
        running.remove(number)
        return number

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(lambda n: thread.run(work, n), range(40))) == list(range(40))
    assert set(seen) == {1}


def test_arrays_live_from_one_call_to_the_next(thread: MLXThread) -> None:
    held = thread.run(lambda: mx.arange(4) * 2)  # not computed yet
    assert thread.run(lambda: (held + 1).tolist()) == [1, 3, 5, 7]


@pytest.mark.parametrize(
    "error", [KeyError("x"), TimeoutError("the work's own"), SystemExit(3), KeyboardInterrupt()]
)
def test_what_the_work_raises(thread: MLXThread, error: BaseException) -> None:
    def work() -> None:
        raise error

    with pytest.raises(type(error)) as caught:
        thread.run(work)
    assert caught.value is error
    assert thread.run(int) == 0


def test_work_may_call_run_again(thread: MLXThread) -> None:
    def outer() -> int:
        return thread.run(threading.get_ident)

    assert thread.run(outer) == thread.run(threading.get_ident)


def test_two_engines_do_not_wait_for_each_other(thread: MLXThread) -> None:
    other = MLXThread()
    assert thread.run(lambda: other.run(threading.get_ident)) != thread.run(threading.get_ident)


# Ctrl-C


def test_checkpoints_pass_while_somebody_waits(thread: MLXThread) -> None:
    thread.run(thread.checkpoint)


def test_ctrl_c_stops_the_work_before_it_reaches_the_caller(thread: MLXThread) -> None:
    """But for the moment in which the work is handed over: see the next test."""
    outcome: list[str] = []

    def work() -> None:
        time.sleep(0.3)  # the caller waits by now
        cancelled_at_a_checkpoint(thread, outcome)

    with pytest.raises(KeyboardInterrupt):
        thread.run(work)
    assert outcome == ["cancelled"]


def test_ctrl_c_at_once_stops_the_work_too(thread: MLXThread) -> None:
    """On a new thread it comes while `run` is still starting it."""
    outcome: list[str] = []
    with pytest.raises(KeyboardInterrupt):
        thread.run(cancelled_at_a_checkpoint, thread, outcome)
    assert thread.run(lambda: outcome) == ["cancelled"]


def test_what_another_signal_raises_stops_the_work_too(thread: MLXThread) -> None:
    """As apps end what takes too long: an alarm that raises an exception of theirs."""
    outcome: list[str] = []

    def ring(*_: object) -> None:
        raise TimeoutError("the app's own")

    def work() -> None:
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGALRM)
        try:
            for _ in range(1000):
                thread.checkpoint()
                time.sleep(0.001)
        except Cancelled:
            outcome.append("cancelled")
            raise

    before = signal.signal(signal.SIGALRM, ring)
    try:
        with pytest.raises(TimeoutError, match="the app's own"):
            thread.run(work)
    finally:
        signal.signal(signal.SIGALRM, before)
    assert outcome == ["cancelled"]


def test_work_goes_on_after_ctrl_c(thread: MLXThread) -> None:
    for _ in range(3):
        with pytest.raises(KeyboardInterrupt):
            thread.run(cancelled_at_a_checkpoint, thread, [])
        assert thread.run(lambda: thread.checkpoint() or 5) == 5


def test_a_second_ctrl_c_does_not_let_the_work_run_on(thread: MLXThread) -> None:
    outcome: list[str] = []

    def work() -> None:
        press_ctrl_c()
        try:
            while True:
                thread.checkpoint()
                time.sleep(0.001)
        except Cancelled:
            press_ctrl_c()  # the caller waits for this work to end
            outcome.append("cancelled")
            raise

    with pytest.raises(KeyboardInterrupt):
        thread.run(work)
    assert thread.run(lambda: outcome) == ["cancelled"]
    thread.run(thread.checkpoint)


def run_from_another(
    thread: MLXThread, work: Callable[[], str]
) -> tuple[threading.Thread, list[str]]:
    """Start a caller in a thread of its own; what `run` returns or raises ends up in the list."""
    results: list[str] = []

    def call() -> None:
        try:
            results.append(thread.run(work))
        except BaseException as error:
            results.append(repr(error))

    caller = threading.Thread(target=call)
    caller.start()
    return caller, results


@pytest.mark.parametrize("attempt", range(5))
def test_ctrl_c_does_not_stop_the_work_of_others(thread: MLXThread, attempt: int) -> None:
    callers = []

    def innocent() -> str:
        for _ in range(200):
            thread.checkpoint()
        return "done"

    def interrupted() -> None:
        callers.append(run_from_another(thread, innocent))
        while thread._jobs.empty():  # until the other one waits
            thread.checkpoint()
        cancelled_at_a_checkpoint(thread, [])

    with pytest.raises(KeyboardInterrupt):
        thread.run(interrupted)
    ((caller, results),) = callers
    caller.join(ENOUGH_S)
    assert results == ["done"]


def test_ctrl_c_while_the_work_has_not_begun(thread: MLXThread) -> None:
    begun, over = threading.Event(), threading.Event()

    def busy() -> str:
        begun.set()
        wait(over)
        thread.checkpoint()
        return "done"

    ran: list[int] = []
    caller, results = run_from_another(thread, busy)
    wait(begun)
    timer = threading.Timer(0.1, press_ctrl_c)
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        thread.run(ran.append, 1)
    over.set()
    caller.join(ENOUGH_S)
    timer.join(ENOUGH_S)
    assert results == ["done"]
    thread.run(int)
    assert ran == []


# The end


def exit_of(script: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=ENOUGH_S
    )


def test_a_process_ends_cleanly_after_compiled_work() -> None:
    # The worker's thread-local storage then holds Python objects of mx.compile's.
    run = exit_of(
        "import mlx.core as mx\n"
        "from mlx import nn\n"
        "from granite_mlx.engine import shared_thread\n"
        "print(shared_thread().run(lambda: nn.silu(mx.zeros(3)).tolist()))\n"
    )
    assert (run.returncode, run.stdout, run.stderr) == (0, "[0.0, 0.0, 0.0]\n", "")


def test_work_that_runs_at_exit_stops_at_its_next_checkpoint() -> None:
    run = exit_of(
        "import threading\n"
        "from granite_mlx.engine import shared_thread\n"
        "thread, begun = shared_thread(), threading.Event()\n"
        "def work():\n"
        "    begun.set()\n"
        "    while True:\n"
        "        thread.checkpoint()\n"
        "threading.Thread(target=thread.run, args=[work], daemon=True).start()\n"
        "begun.wait()\n"
    )
    assert run.returncode == 0, run.stderr


STUCK_AT_EXIT = (
    "import os, signal, threading, time\n"
    "from granite_mlx import engine\n"
    "thread, begun = engine.shared_thread(), threading.Event()\n"
    "def work():\n"
    "    begun.set()\n"
    "    {meanwhile}\n"
    "    threading.Event().wait()\n"
    "engine.LONGEST_WAIT_AT_EXIT_S = {longest_wait_s}\n"
    "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
    "threading.Thread(target=thread.run, args=[work], daemon=True).start()\n"
    "begun.wait()\n"
)


def test_work_that_comes_to_no_checkpoint_does_not_hold_up_the_exit_for_ever() -> None:
    run = exit_of(STUCK_AT_EXIT.format(meanwhile="pass", longest_wait_s=0.1))
    assert (run.returncode, run.stderr) == (0, "")


def test_ctrl_c_at_exit_ends_the_wait_without_a_traceback() -> None:
    press = "while not thread._exiting: time.sleep(0.01)\n    os.kill(os.getpid(), signal.SIGINT)"
    run = exit_of(STUCK_AT_EXIT.format(meanwhile=press, longest_wait_s=3600))
    assert (run.returncode, run.stderr) == (0, "")


def test_a_forked_child_is_told_to_load_anew_and_can() -> None:
    run = exit_of(
        "import os, signal, sys\n"
        "import mlx.core as mx\n"
        "from granite_mlx.engine import shared_thread\n"
        "thread = shared_thread()\n"
        "thread.run(int)\n"
        "child = os.fork()\n"
        "if child == 0:\n"
        f"    signal.alarm({ENOUGH_S // 2})\n"
        "    try:\n"
        "        thread.run(int)\n"
        "    except RuntimeError as error:\n"
        "        print(error, flush=True)\n"
        "    print(shared_thread().run(lambda: (mx.ones(3) + 1).tolist()), flush=True)\n"
        "    sys.exit(3)\n"
        "print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))\n"
    )
    said, computed, status = run.stdout.splitlines()
    assert "loaded before a fork" in said
    assert "load it in the child" in said
    assert (computed, status) == ("[2.0, 2.0, 2.0]", "3")


def test_the_process_has_one_thread_for_all_models() -> None:
    assert shared_thread() is shared_thread()
