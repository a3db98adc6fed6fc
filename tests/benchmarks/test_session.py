"""Who is alive, and what becomes of it when there is no room or a first call is slow."""

import importlib
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from granite_mlx.bench.wav import example_speech, write_wav

FAKE = Path(__file__).with_name("fake_contender.py")
COMMAND = [sys.executable, str(FAKE), "{audio}", "{model}"]


@pytest.fixture(scope="module")
def session_module(benchmarks: ModuleType) -> ModuleType:
    return importlib.import_module("benchmarks.session")


@pytest.fixture
def session(
    session_module: ModuleType, tmp_path: Path, demo_checkpoint: Path
) -> Callable[[], tuple[Any, list[str]]]:
    """Two commands that count as large, on recordings of 1 and 2 s, twice; and what is told."""
    known, journal, models, schedule = (
        importlib.import_module(f"benchmarks.{name}")
        for name in ("contenders.known", "journal", "models", "schedule")
    )

    def audio(seconds: float) -> Path:
        path = tmp_path / f"{seconds}.wav"
        write_wav(path, example_speech(seconds))
        return path

    def session() -> tuple[Any, list[str]]:
        told: list[str] = []
        made = session_module.Session(
            contenders=[
                known.Contender(name, "command_worker", options={"command": COMMAND, "n": name})
                for name in ("a", "b")
            ],
            model=models.Model("demo", demo_checkpoint, "float32", False),
            settings=schedule.Settings((1.0, 2.0), n_runs=2, n_tokens=3, budget_s=60),
            journal=journal.Journal(tmp_path / "journal.jsonl"),
            out=tmp_path,
            audio=audio,
            facts={},
            deadline_s=time.monotonic() + 60,
            tell=told.append,
        )
        return made, told

    return session


def kinds(session: Any) -> list[tuple[str, str]]:
    return [(record.contender, record.kind) for record in session.records]


@pytest.mark.slow
def test_all_stay_alive_where_there_is_room(session: Callable[[], Any]) -> None:
    made, told = session()
    made.run()
    assert [kind for kind in kinds(made) if kind[1] == "cold"] == [("a", "cold"), ("b", "cold")]
    assert kinds(made).count(("a", "end_to_end")) == kinds(made).count(("b", "end_to_end")) == 4
    assert not [line for line in told if "to make room" in line]
    assert made.outcome().versions["a"]["command"] == " ".join(COMMAND)


@pytest.mark.slow
def test_one_is_ended_where_two_do_not_fit(
    session: Callable[[], Any], session_module: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session_module, "available_bytes", lambda loaded_bytes: 0)
    made, told = session()
    made.run()
    ended = [line.split(":")[0].strip() for line in told if "to make room" in line]
    assert ended == ["a", "b"] * 3 + ["a"]  # in turn all the same
    assert [kind for kind in kinds(made) if kind[1] == "cold"] == [("a", "cold"), ("b", "cold")] * 4
    assert made.failures == []


@pytest.mark.slow
@pytest.mark.parametrize(("limit_s", "n_calls"), [(1000.0, 1 + 2 + 4), (0.0, 1 + 4)])
def test_a_slow_first_call_is_the_only_warm_up(
    session: Callable[[], Any], session_module: ModuleType, monkeypatch: pytest.MonkeyPatch,
    limit_s: float, n_calls: int,
) -> None:  # fmt: skip
    calls: list[str] = []
    measure = session_module.WorkerProcess.measure

    def counted(worker: Any, kind: str, *rest: Any) -> Any:
        calls.append(worker.contender.name)
        return measure(worker, kind, *rest)

    monkeypatch.setattr(session_module.WorkerProcess, "measure", counted)
    monkeypatch.setattr(session_module, "WARM_UP_LIMIT_S", limit_s)
    made, _ = session()
    made.run()
    assert (calls.count("a"), calls.count("b")) == (n_calls, n_calls)


def test_weights_take_what_their_type_takes(benchmarks: ModuleType, demo_checkpoint: Path) -> None:
    room = importlib.import_module("benchmarks.room")
    stored = (demo_checkpoint / "model.safetensors").stat().st_size
    assert room.weights_bytes(demo_checkpoint, "float32") == 2 * stored
    assert room.weights_bytes(demo_checkpoint, "bfloat16") == stored
    assert room.working_bytes(120, 9_000_000_000) > 4_000_000_000
    assert room.working_bytes(120, stored) < 600_000_000
    assert room.available_bytes(0) > 0
