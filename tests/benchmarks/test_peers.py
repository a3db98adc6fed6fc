"""The programs that measure mlx-audio and transformers, with the real packages."""

import importlib
import importlib.util
import os
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from granite_mlx.bench.wav import example_speech, write_wav

PYTHONS = {
    "mlx-audio": os.environ.get("GRANITE_MLX_AUDIO_PYTHON"),
    "transformers": sys.executable if importlib.util.find_spec("transformers") else None,
}
"""Interpreters that have them, in `make test-slow`."""

ENOUGH_S = 300
STAGES = {"features_s", "encoder_s", "projector_s", "prefill_s", "decode_s"}

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module", params=PYTHONS)
def answers(
    request: pytest.FixtureRequest, benchmarks: ModuleType, demo_checkpoint: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> dict[str, dict[str, Any]]:  # fmt: skip
    """What ours and a peer answer to the same requests about the demo checkpoint."""
    python = PYTHONS[request.param]
    if python is None:
        pytest.skip(f"{request.param} is not installed")
    known = importlib.import_module("benchmarks.contenders.known")
    protocol = importlib.import_module("benchmarks.contenders.protocol")
    processes = importlib.import_module("benchmarks.worker_process")
    folder = tmp_path_factory.mktemp("peers")
    write_wav(folder / "3.wav", example_speech(3))
    found: dict[str, dict[str, Any]] = {}
    for name, interpreter in (("granite-mlx", sys.executable), (request.param, python)):
        contender = known.Contender(name, known.WORKERS[name], interpreter)
        worker = processes.WorkerProcess(contender, folder / f"{name}.log")
        try:
            loaded = worker.load(str(demo_checkpoint), "float32", ENOUGH_S)
            asked = {
                # Fewer than the text has: behind its end each goes on in a way of its own.
                "stages": ("stages", protocol.Request(folder / "3.wav", 3.0, 3, True)),
                "whole": ("end_to_end", protocol.Request(folder / "3.wav", 3.0, 64, False)),
                "forced": ("end_to_end", protocol.Request(folder / "3.wav", 3.0, 30, True)),
            }
            found[name] = {
                key: worker.measure(kind, one, ENOUGH_S) for key, (kind, one) in asked.items()
            }
            found[name]["load"] = loaded
        finally:
            worker.end()
        assert worker.has_ended
    return found


def test_both_compute_the_same(answers: dict[str, dict[str, Any]]) -> None:
    ours, theirs = answers.values()
    assert ours["whole"].text
    assert theirs["whole"].text == ours["whole"].text
    assert theirs["stages"].text.strip() == ours["stages"].text.strip()
    shape = ("n_frames", "n_positions", "n_tokens")
    assert [ours["stages"].values[key] for key in shape] == [
        theirs["stages"].values[key] for key in shape
    ]


def test_every_figure_is_there(answers: dict[str, dict[str, Any]]) -> None:
    for found in answers.values():
        assert found["load"].values["load_s"] > 0
        assert all(found["stages"].values[key] > 0 for key in STAGES)
        for key in ("whole", "forced"):
            values = found[key].values
            assert 0 < values["first_token_s"] <= values["total_s"]
            assert values["peak_resident_bytes"] > 20_000_000


def test_a_forced_text_is_longer(answers: dict[str, dict[str, Any]]) -> None:
    for found in answers.values():
        assert len(found["forced"].text) > len(found["whole"].text)
