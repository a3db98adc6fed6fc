"""For real: a local Ray cluster of two workers, and what is lost when parts of it are killed."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from granite_mlx.corpus.cluster import SESSION_BASE, SESSION_PREFIX, cluster
from granite_mlx.corpus.items import Outcome, Task
from granite_mlx.corpus.rows import Row
from granite_mlx.corpus.store import OPEN, rows_in

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(find_spec("ray") is None, reason="Ray Data is not here (extra corpus)"),
]

N_RECORDINGS = 240
N_BEFORE_THE_KILL = 60
ENOUGH_S = 900  # on a busy machine; nothing waits that long if all is well


@pytest.fixture(scope="module")
def archive(
    demo_checkpoint: Path, short_recordings: ModuleType, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    folder: Path = tmp_path_factory.mktemp("archive") / "in"
    short_recordings.make(demo_checkpoint / "examples", folder, N_RECORDINGS)
    return folder


class Driver:
    """A running `granite-mlx corpus` with two workers."""

    def __init__(self, archive: Path, out: Path) -> None:
        self.out = out
        self.log = out.with_suffix(".log")
        command = [sys.executable, "-m", "granite_mlx", "corpus", "-m", "demo", "-r", archive]
        options = ["-o", out, "--workers", "2", "--shard-files", "50"]
        with open(self.log, "w") as log:
            self.process = subprocess.Popen([*command, *options], stdout=log, stderr=log)

    def wait_for(self, n_rows: int) -> list[Row]:
        """What is done, as soon as that are n_rows."""
        until_s = time.monotonic() + ENOUGH_S
        while time.monotonic() < until_s:
            rows = rows_so_far(self.out)
            if len(rows) >= n_rows:
                return rows
            assert self.process.poll() is None, self.log.read_text()
            time.sleep(0.2)
        raise AssertionError(self.log.read_text())

    def end(self) -> int:
        return self.process.wait(ENOUGH_S)


@pytest.fixture
def start(archive: Path, tmp_path: Path) -> Callable[[], Driver]:
    return lambda: Driver(archive, tmp_path / "out")


def rows_so_far(out: Path) -> list[Row]:
    """A shard may get its name, or a line its end, while we look: then look again."""
    with contextlib.suppress(Exception):
        return list(rows_in(out))
    return []


def worker_pids(rows: Sequence[Row]) -> set[int]:
    return {int(row["worker"].rpartition(":")[2]) for row in rows}


def assert_each_once(rows: Sequence[Row], archive: Path) -> None:
    assert sorted(row["audio"] for row in rows) == sorted(map(str, archive.iterdir()))
    assert len({row["sha256"] for row in rows}) == N_RECORDINGS
    assert not any(row["transcript"]["text"] is None for row in rows)


def session_folders() -> set[Path]:
    return set(Path(SESSION_BASE).glob(f"{SESSION_PREFIX}*"))


def test_a_worker_that_is_killed_loses_nothing(start: Callable[[], Driver], archive: Path) -> None:
    before = session_folders()
    driver = start()
    pids = worker_pids(driver.wait_for(N_BEFORE_THE_KILL))
    os.kill(min(pids), signal.SIGKILL)
    assert driver.end() == 0, driver.log.read_text()
    rows = list(rows_in(driver.out))
    assert_each_once(rows, archive)
    assert worker_pids(rows) - pids, "no worker took the place of the one that was killed"
    assert not (driver.out / "failed.jsonl").exists()
    assert session_folders() <= before
    assert "raylet" not in driver.log.read_text()


def test_a_driver_that_is_killed_goes_on(start: Callable[[], Driver], archive: Path) -> None:
    before = session_folders()
    driver = start()
    driver.wait_for(N_BEFORE_THE_KILL)
    driver.process.kill()
    assert driver.end() == -signal.SIGKILL
    kept = list(rows_in(driver.out))
    assert N_BEFORE_THE_KILL <= len(kept) < N_RECORDINGS
    again = start()
    assert again.end() == 0, again.log.read_text()
    rows = list(rows_in(again.out))
    assert rows[: len(kept)] == kept  # not done again
    assert_each_once(rows, archive)
    assert session_folders() <= before


@pytest.mark.parametrize(("ending", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_ctrl_c_ends_at_once_with_what_is_done(
    start: Callable[[], Driver], ending: signal.Signals, code: int
) -> None:
    before = session_folders()
    driver = start()
    rows = driver.wait_for(1)
    driver.process.send_signal(ending)
    assert driver.end() == code, driver.log.read_text()
    assert "The same command goes on from there." in driver.log.read_text()
    kept = list(rows_in(driver.out))
    assert kept[: len(rows)] == rows
    assert (driver.out / OPEN).stat().st_size == 0  # all in shards
    assert session_folders() <= before


class Deadly:
    """A worker that one recording kills."""

    def __call__(self, tasks: Sequence[Task]) -> list[Outcome]:
        if any(task.audio == "deadly" for task in tasks):
            os.kill(os.getpid(), signal.SIGKILL)
        return [Outcome(task.sha256, "", transcript={}) for task in tasks]


@pytest.mark.filterwarnings("ignore")  # Ray warns of what it calls itself
def test_a_recording_that_kills_its_worker_does_not_stop_the_others(tmp_path: Path) -> None:
    from ray import cloudpickle

    cloudpickle.register_pickle_by_value(sys.modules[__name__])
    tasks = [Task(name, name, 1, 1, None, ()) for name in ("a", "deadly", "b", "c")]
    with cluster(Deadly, 1, None, tmp_path / "note") as (engine, n_workers):
        assert n_workers == 1
        outcomes = [one for some in engine([[task] for task in tasks]) for one in some]
    assert sorted(one.sha256 for one in outcomes) == ["a", "b", "c"]


@pytest.fixture(scope="module")
def nodes(ray_cluster: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    two = ray_cluster.RayCluster(tmp_path_factory.mktemp("nodes"))
    try:
        two.start()
        yield two
    finally:
        two.stop()


def joined(
    nodes: Any, archive: Path, out: Path, env: dict[str, str], *more: str
) -> subprocess.CompletedProcess[str]:
    words = ["corpus", "-m", "demo", "-r", archive, "-o", out, "--address", nodes.address, *more]
    return subprocess.run(
        [sys.executable, "-m", "granite_mlx", *words],
        env=env, capture_output=True, text=True, timeout=ENOUGH_S,
    )  # fmt: skip


def test_a_cluster_of_two_nodes_is_joined_and_left_alive(
    nodes: Any, archive: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    done = joined(nodes, archive, out, nodes.env_with_token)
    assert done.returncode == 0, done.stderr
    assert done.stdout == ""
    assert "raylet" not in done.stderr
    rows = list(rows_in(out))
    assert_each_once(rows, archive)
    until_s = time.monotonic() + ENOUGH_S  # Ray ends what the command has left in its own time
    while any(map(is_running, worker_pids(rows))) or nodes.seen() != ["2", "2.0", "7"]:
        assert time.monotonic() < until_s, nodes.seen()


def is_running(pid: int) -> bool:
    """Whether it is a process, and no dead one that waits for its parent."""
    with contextlib.suppress(OSError):
        return b"State:\tZ" not in Path(f"/proc/{pid}/status").read_bytes()
    return False


def test_a_cluster_does_not_let_in_who_has_another_token(
    nodes: Any, archive: Path, tmp_path: Path
) -> None:
    other = tmp_path / "token"
    other.write_text("of-another-cluster-0123456789abcdef")
    env = nodes.env(RAY_AUTH_TOKEN_PATH=str(other))
    done = joined(nodes, archive, tmp_path / "out", env)
    assert done.returncode == 2, done.stderr
    (line,) = done.stderr.splitlines()
    assert "asks for its token, and here is another token" in line
    assert not (tmp_path / "out" / "failed.jsonl").exists()


def test_more_workers_than_the_cluster_has_cpus_are_refused(
    nodes: Any, archive: Path, tmp_path: Path
) -> None:
    done = joined(nodes, archive, tmp_path / "out", nodes.env_with_token, "--workers", "3")
    assert done.returncode == 2, done.stderr
    (line,) = done.stderr.splitlines()
    assert line.startswith("granite-mlx: 3 workers take a CPU of Ray's each")
