"""Ray: started here or joined at an address, and lots of recordings mapped over its workers.

Ray Data does the spreading: one block for each lot, mapped over a pool of actors that each hold a
model. It takes blocks in order, gives one to whichever actor is free, starts an actor that was lost
again and gives its block to another. It promises a block's result once, and its work at least once:
a lot whose worker is lost may be listened to twice. Exactly once is made of that by the driver,
which alone writes results, one row for each content. (Actors of Ray Core, driven by hand, would
leave that the same and add the pool, the retries and the restarts to our code.)

A recording that takes its worker down with it would be tried for ever. So an actor of Ray Core
counts how often each lot was begun, and one that has used up its tries comes back unheard. Then its
recordings go once more, each as a lot of its own, and only the one to blame is set aside.
"""

from __future__ import annotations

import atexit
import contextlib
import hashlib
import logging
import os
import shutil
import signal
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

from granite_mlx.corpus import joining
from granite_mlx.corpus.errors import CorpusError
from granite_mlx.corpus.items import Outcome, Task, packed, unpacked_outcomes, unpacked_tasks

Lots = Sequence[Sequence[Task]]
Listen = Callable[[Sequence[Task]], list[Outcome]]
"""What a worker does with a lot."""

MakeWorker = Callable[[], Listen]
"""Called once in each worker; it loads the model."""

Engine = Callable[[Lots], Iterator[list[Outcome]]]
"""Lots -> their outcomes as they come. Of a lot whose workers were all lost there are none."""

OBJECT_STORE_BYTES = 128 << 20
"""Tasks and texts pass through it, no sound."""

N_TRIES = 3
"""Of a lot, before it comes back unheard."""

N_STARTS = 3
"""Ray gives itself 30 s to start, which a busy machine may exceed; there is no option for it."""

SESSION_BASE, SESSION_PREFIX = "/tmp", "granite-mlx-ray-"
"""Not $TMPDIR, which is long on a Mac: a socket's path may have 103 bytes, and Ray needs 70."""

QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_BACKEND_LOG_LEVEL": "fatal",  # of what its C++ writes to the driver's stderr
    "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0",  # it would send the working folder to the workers
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
}


class LotWorker:
    """An actor of the pool: one model, from the first lot to the last."""

    def __init__(self, make: MakeWorker, began: Callable[[str], int]) -> None:
        self._listen = make()
        self._began = began

    def __call__(self, batch: dict[str, Any]) -> dict[str, list[str]]:
        """A batch is one lot."""
        return {"outcomes": [self._outcomes(str(text)) for text in batch["tasks"]]}

    def _outcomes(self, text: str) -> str:
        is_lost = self._began(text) > N_TRIES
        return packed([] if is_lost else self._listen(unpacked_tasks(text)))


class Tries:
    """How often each lot was begun; an actor that outlives the workers."""

    def __init__(self) -> None:
        self._n: Counter[str] = Counter()

    def begin(self, lot: str) -> int:
        """-> the number of this try, from 1."""
        self._n[lot] += 1
        return self._n[lot]


@dataclass(frozen=True)
class Began:
    """Asks the actor, from wherever the worker is."""

    tries: Any

    def __call__(self, text: str) -> int:
        """-> the number of this try of a lot."""
        import ray

        n: int = ray.get(self.tries.begin.remote(hashlib.sha256(text.encode()).hexdigest()))
        return n


@contextlib.contextmanager
def cluster(
    make: MakeWorker, n_workers: int | None, address: str | None, note: Path
) -> Iterator[tuple[Engine, int]]:
    """A running cluster as an engine, and its number of workers.

    Without an `address`, Ray runs on this machine alone, in a folder that goes when it ends; `note`
    is where the folder's name is kept, so that one that a crash has left goes next time. With an
    address, the default is a worker for each machine of the cluster that has a CPU for one.

    Raises:
        CorpusError: Ray is not installed, cannot be started, does not answer or let us in, or its
            machines lack CPUs or have another granite-mlx.
    """
    if address is not None:
        joining.check_that_it_answers(address)
        joining.prepare()
    for name, value in QUIET.items():
        os.environ.setdefault(name, value)
    _sweep(note)
    folder = Path(tempfile.mkdtemp(prefix=SESSION_PREFIX, dir=SESSION_BASE))
    note.write_text(str(folder), encoding="utf-8")
    # What a start that failed has left running ends when Python does: before this, which was first.
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    with contextlib.ExitStack() as stack:
        stack.callback(_sweep, note)
        # Ray prints about lost workers, on stdout too, and its loggers keep the stream they find.
        log = stack.enter_context(open(folder / "driver.log", "w", encoding="utf-8"))
        stack.enter_context(contextlib.redirect_stdout(log))
        stack.enter_context(contextlib.redirect_stderr(log))
        ray = _imported()
        with _own_signals(), _stderr_to(log):
            stack.callback(ray.shutdown)  # first: Ctrl-C may come in the middle of the start
            _start(ray, n_workers, address, folder)
        n = n_workers or max(1, len(joining.nodes(ray)))
        n_cpus = int(ray.cluster_resources().get("CPU", 0))
        if n > n_cpus:
            raise CorpusError(
                f"{n} workers take a CPU of Ray's each, and the cluster at {address} has {n_cpus}; "
                "give fewer --workers, or ray start more --num-cpus."
            )
        if address is not None:
            joining.check_nodes(ray, address)

        def engine(lots: Lots) -> Iterator[list[Outcome]]:
            return _mapped(ray, make, lots, n)

        yield engine, n


def _imported() -> Any:
    try:
        import ray
        import ray.data
    except ImportError as error:
        raise CorpusError(
            "granite-mlx corpus needs Ray Data; install it with: pip install 'granite-mlx[corpus]'"
        ) from error
    return ray


def _start(ray: Any, n_workers: int | None, address: str | None, folder: Path) -> None:
    quietly = {"log_to_driver": False, "logging_level": logging.ERROR}
    for n_left in reversed(range(1 if address is not None else N_STARTS)):
        try:
            if address is not None:
                ray.init(address=address, **quietly)
            else:
                ray.init(
                    address="local",  # also where $RAY_ADDRESS names a cluster
                    num_cpus=n_workers or 1,
                    num_gpus=0,
                    include_dashboard=False,
                    object_store_memory=OBJECT_STORE_BYTES,
                    _temp_dir=str(folder),
                    **quietly,
                )
            return
        except Exception as error:  # a plain one, where it took too long
            ray.shutdown()
            if n_left:
                continue
            if address is not None:
                raise joining.refusal(address, error) from error
            said = " ".join(str(error).split())
            raise CorpusError(f"Ray could not be started on this machine: {said}") from error


def _mapped(ray: Any, make: MakeWorker, lots: Lots, n_workers: int) -> Iterator[list[Outcome]]:
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    began = Began(ray.remote(num_cpus=0)(Tries).remote())
    rows = [{"tasks": packed(lot)} for lot in lots]
    done = ray.data.from_items(rows, override_num_blocks=len(rows)).map_batches(
        LotWorker,
        fn_constructor_args=(make, began),
        batch_size=1,
        batch_format="numpy",
        # One at a time: a lot that waited for a busy worker could not go to one that is free.
        compute=ray.data.ActorPoolStrategy(
            size=min(n_workers, len(lots)), max_tasks_in_flight_per_actor=1
        ),
        num_cpus=1,
    )
    for batch in done.iter_batches(batch_size=None, prefetch_batches=0, batch_format="numpy"):
        for text in batch["outcomes"]:
            yield unpacked_outcomes(str(text))


@contextlib.contextmanager
def _own_signals() -> Iterator[None]:
    """Ray handles SIGTERM in its own way, by leaving at once; ours clears away first."""
    kept = {n: signal.getsignal(n) for n in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in kept.items():
            with contextlib.suppress(ValueError):  # not on the main thread
                signal.signal(number, handler)


@contextlib.contextmanager
def _stderr_to(log: TextIO) -> Iterator[None]:
    """What C++ writes goes to a file: Ray's core tells there how it was started."""
    kept = os.dup(2)
    os.dup2(log.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


def _sweep(note: Path) -> None:
    """Remove the folder of a session that has ended."""
    with contextlib.suppress(OSError, UnicodeError):
        folder = Path(note.read_text(encoding="utf-8"))
        if folder.parent == Path(SESSION_BASE) and folder.name.startswith(SESSION_PREFIX):
            shutil.rmtree(folder, ignore_errors=True)
        note.unlink()
