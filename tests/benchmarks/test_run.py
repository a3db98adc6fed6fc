"""The harness for real: ours on the demo checkpoint, and a command line that is a script here."""

import importlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

FAKE = Path(__file__).with_name("fake_contender.py")
ENOUGH_S = 300  # nothing waits that long if all is well
SMALL = ("--model", "demo", "--seconds", "1", "2", "--runs", "2", "--tokens", "3")

ONE_THREAD = {"OPENBLAS_NUM_THREADS": "1"}
"""Threads that wait for each other make a busy machine very slow."""

NO_MATPLOTLIB = (
    "import sys; sys.modules['matplotlib'] = None; sys.modules['matplotlib.figure'] = None"
)
"""What makes importing it an ImportError, in front of the harness."""


@dataclass(frozen=True)
class Ran:
    code: int
    out: str
    err: str


@dataclass(frozen=True)
class Harness:
    """`python -m benchmarks.run` with a fake contender, in a process of its own."""

    repository: Path
    folder: Path

    @property
    def out(self) -> Path:
        return self.folder / "out"

    @property
    def control(self) -> Path:
        """The folder whose files tell the fake what to do."""
        return self.folder

    def peers(self, **more: str) -> Path:
        command = json.dumps(["{python}", str(FAKE), "{audio}", "{model}", str(self.control)])
        lines = ["[[contender]]", 'name = "fake"', 'kind = "command"', f"command = {command}"]
        path = self.folder / "peers.toml"
        path.write_text("\n".join([*lines, *(f"{k} = {v}" for k, v in more.items())]))
        return path

    def command(self, *arguments: str, before: str = "") -> list[str]:
        run = f"{before}\nimport sys; from benchmarks.run import main; sys.exit(main(sys.argv[1:]))"
        given = [*SMALL, "--peers", str(self.peers()), "--out", str(self.out), *arguments]
        return [sys.executable, "-c", run, *given]

    def start(self, *arguments: str, **options: Any) -> subprocess.Popen[str]:
        pipe = subprocess.PIPE
        return subprocess.Popen(
            self.command(*arguments, **options),
            cwd=self.repository, stdout=pipe, stderr=pipe, text=True, env=os.environ | ONE_THREAD,
        )  # fmt: skip

    def finish(self, *arguments: str, **options: Any) -> Ran:
        with self.start(*arguments, **options) as process:
            out, err = process.communicate(timeout=ENOUGH_S)
        return Ran(process.returncode, out, err)

    def measured(self) -> list[tuple[str, str, float, int]]:
        """What the journal has: contender, kind, seconds, run."""
        lines = (self.out / "measurements.jsonl").read_text().splitlines()
        records = [json.loads(line) for line in lines if line.endswith("}")]
        return [(r["contender"], r["kind"], r["seconds"], r["run"]) for r in records]


@pytest.fixture
def harness(repository: Path, tmp_path: Path) -> Harness:
    return Harness(repository, tmp_path)


BOTH = ("--contender", "granite-mlx", "--contender", "fake")
FAKE_ALONE = ("--contender", "fake")


@pytest.mark.slow
def test_ours_and_another_side_by_side(harness: Harness) -> None:
    ran = harness.finish(*BOTH, before=NO_MATPLOTLIB)
    assert ran.code == 0, ran.err
    # A B A B, and the limits in each round.
    turns = [m for m in harness.measured() if m[1] == "end_to_end"]
    assert turns == [
        (name, "end_to_end", seconds, run)
        for run in (1, 2)
        for seconds in (1.0, 2.0)
        for name in ("granite-mlx", "fake")
    ]
    assert [m for m in harness.measured() if m[1] == "limits"] == [
        ("limits", "limits", 2.0, 1), ("limits", "limits", 2.0, 2)
    ]  # fmt: skip

    found = json.loads((harness.out / "results.json").read_text())
    (model,) = found["models"]
    assert model["versions"]["granite-mlx"]["granite-mlx"].startswith("0.")
    assert found["machine"]["n_cores"] >= 1
    figures = {(f["stage"], f["seconds"]): f["contenders"] for f in model["figures"]}
    for stage in ("encoder", "prefill", "decode"):
        ours = figures[stage, 2.0]["granite-mlx"]
        assert ours["figure"]["n"] == 2
        assert 0 < ours["figure"]["lowest"] <= ours["figure"]["highest"]
        assert 0 < ours["of_limit"] < 1.5
        assert "fake" not in figures[stage, 2.0]
    assert set(figures["end to end", 1.0]) == {"granite-mlx", "fake"}
    assert figures["RTFx", 2.0]["fake"]["figure"]["highest"] == pytest.approx(
        2.0 / figures["end to end", 2.0]["fake"]["figure"]["lowest"]
    )
    said = {r["text"] for r in model["measurements"] if r["contender"] == "fake"}
    assert said == {"1 seconds of demo_checkpoint", "2 seconds of demo_checkpoint"}
    stages = [r["values"] for r in model["measurements"] if r["kind"] == "stages"]
    assert {(v["n_tokens"], v["n_frames"]) for v in stages} == {(3, 50), (3, 100)}

    table = (harness.out / "results.md").read_text()
    assert table in ran.out
    assert "| audio | stage | granite-mlx | fake | ours to fake |" in table
    assert "% of the limit" in table
    assert "| feed-forward activations |" in table
    assert "others than ours by fake" in table
    assert ran.err.count("There are no plots: they need matplotlib") == 1
    assert list(harness.out.glob("*.png")) == []


@pytest.mark.slow
def test_a_second_start_goes_on(harness: Harness) -> None:
    assert harness.finish(*FAKE_ALONE, "--runs", "1").code == 0
    journal = harness.out / "measurements.jsonl"
    whole = journal.read_text().splitlines()
    kept = [m for m in harness.measured() if m[1] != "cold"]
    # As if it had been killed while it wrote a line.
    journal.write_text("\n".join(whole[:-2]) + "\n" + whole[-2][:20])
    ran = harness.finish(*FAKE_ALONE, "--runs", "1")
    assert ran.code == 0, ran.err
    again = [line for line in ran.err.splitlines() if ", run " in line]
    assert len(again) == 2
    assert [m for m in harness.measured() if m[1] != "cold"] == kept


@pytest.mark.slow
def test_what_a_busy_machine_measured_can_be_repeated(harness: Harness) -> None:
    assert harness.finish(*FAKE_ALONE, "--runs", "1").code == 0
    journal = harness.out / "measurements.jsonl"
    records = [json.loads(line) for line in journal.read_text().splitlines()]
    for record in records:
        record["values"]["others_share"] = 0.9 if record["seconds"] == 1.0 else 0.0
    journal.write_text("".join(json.dumps(record) + "\n" for record in records))
    ran = harness.finish(*FAKE_ALONE, "--runs", "1", "--repeat-busy")
    again = [line.strip() for line in ran.err.splitlines() if ", run " in line]
    assert again == ["fake: end_to_end, 1 s, run 1"]
    content = json.loads((harness.out / "results.json").read_text())
    (model,) = content["models"]
    (figure,) = [
        f["contenders"]["fake"]["figure"]
        for f in model["figures"]
        if (f["stage"], f["seconds"]) == ("end to end", 1.0)
    ]
    assert figure["n"] == 1  # the new one in place of the old one


def wait_for(path: Path, process: subprocess.Popen[str]) -> None:
    while not path.exists():
        assert process.poll() is None, process.stderr and process.stderr.read()
        time.sleep(0.01)


@pytest.mark.slow
def test_an_interruption_loses_nothing(harness: Harness) -> None:
    (harness.control / "wait").touch()
    with harness.start(*FAKE_ALONE) as process:
        wait_for(harness.control / "waiting", process)  # limits are measured by then
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=ENOUGH_S)
    assert process.returncode == 130
    assert "the same command goes on from here" in err
    assert harness.measured() == [("limits", "limits", 2.0, 1)]
    assert "reading" in (harness.out / "results.md").read_text()
    (harness.control / "wait").unlink()
    ran = harness.finish(*FAKE_ALONE, "--runs", "1")
    assert ran.code == 0
    assert "limits: limits, 2 s, run 1" not in ran.err


@pytest.mark.slow
def test_a_contender_that_fails_leaves_the_others(harness: Harness) -> None:
    (harness.control / "fail").touch()
    ran = harness.finish(*BOTH, "--runs", "1")
    assert ran.code == 1
    assert "it has failed as it was told" in (harness.out / "results.md").read_text()
    measured = harness.measured()
    assert ("granite-mlx", "end_to_end", 2.0, 1) in measured
    assert not [m for m in measured if m[0] == "fake"]
    (harness.control / "fail").unlink()  # it is mended, and measured at the next start
    assert harness.finish(*BOTH, "--runs", "1").code == 0
    assert ("fake", "end_to_end", 2.0, 1) in harness.measured()


def test_what_there_is_no_time_for_is_told(harness: Harness) -> None:
    ran = harness.finish(*FAKE_ALONE, "--minutes", "0.000001")
    assert ran.code == 1
    assert "Left out:\n\n- limits: limits, 2 s, run 1\n- fake: end_to_end, 1 s, run 1" in ran.out
    assert not (harness.out / "measurements.jsonl").exists()


def test_who_is_not_installed(harness: Harness) -> None:
    ran = harness.finish("--contender", "nobody")
    assert ran.code == 2
    assert "there is no contender 'nobody', or it is not installed" in ran.err
    assert len(ran.err.splitlines()) == 1


# A program that crashes or says nothing


@pytest.fixture(scope="session")
def worker_process(benchmarks: ModuleType) -> ModuleType:
    return importlib.import_module("benchmarks.worker_process")


@pytest.fixture(scope="session")
def known(benchmarks: ModuleType) -> ModuleType:
    return importlib.import_module("benchmarks.contenders.known")


@pytest.fixture
def start(
    worker_process: ModuleType, known: ModuleType, tmp_path: Path
) -> Callable[[Sequence[str]], Any]:
    """Start a worker whose interpreter is a shell script."""

    def start(lines: Sequence[str]) -> Any:
        script = tmp_path / "python"
        script.write_text("\n".join(["#!/bin/sh", *lines]) + "\n")
        script.chmod(0o755)
        contender = known.Contender("strange", "command_worker", str(script))
        return worker_process.WorkerProcess(contender, tmp_path / "log")

    return start


HELLO = """echo '{"ready": true, "versions": {}, "kinds": ["end_to_end"]}'"""


def test_a_program_that_crashes_at_once(start: Any, worker_process: ModuleType) -> None:
    with pytest.raises(worker_process.ContenderError, match="ended with code 3: no such module"):
        start(["echo no such module >&2", "exit 3"])


def test_a_program_that_is_killed_at_work(start: Any, worker_process: ModuleType) -> None:
    worker = start([HELLO, "read line", "kill -9 $$"])
    with pytest.raises(worker_process.ContenderError, match="was ended by signal 9"):
        worker.load("model", "float32", ENOUGH_S)


def test_a_program_that_does_not_answer_is_ended(start: Any, worker_process: ModuleType) -> None:
    worker = start([HELLO, "echo $$ >&2", "sleep 600"])
    with pytest.raises(worker_process.ContenderError, match=r"did not answer within 0 s"):
        worker.load("model", "float32", 0.2)
    assert worker.has_ended


def test_an_interpreter_that_is_not_there(
    worker_process: ModuleType, known: ModuleType, tmp_path: Path
) -> None:
    contender = known.Contender("gone", "command_worker", str(tmp_path / "python"))
    with pytest.raises(worker_process.ContenderError, match="gone cannot be started"):
        worker_process.WorkerProcess(contender, tmp_path / "log")


def test_pythonpath_is_kept_from_other_environments(
    worker_process: ModuleType, known: ModuleType
) -> None:
    contender = known.Contender("x", known.WORKERS["transformers"], options={"a": 1})
    given = {"PYTHONPATH": "/ours", "PATH": os.environ["PATH"]}
    environment = worker_process.environment(contender, given)
    assert "PYTHONPATH" not in environment
    assert environment["HF_HUB_OFFLINE"] == "1"
    assert environment["GRANITE_MLX_BENCH_BLAS"] == "own"
    assert json.loads(environment["GRANITE_MLX_BENCH_OPTIONS"]) == {"a": 1}
