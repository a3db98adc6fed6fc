import importlib
import json
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest


@pytest.fixture(scope="module")
def verify_memory(benchmarks: ModuleType) -> ModuleType:
    return importlib.import_module("benchmarks.verify_memory")


@pytest.mark.slow
def test_a_comparison_is_measured_layer_by_layer(
    verify_memory: ModuleType,
    demo_checkpoint: Path,
    tmp_path: Path,
    monkeypatch: Any,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def here(name: str, source: Path, work: Any) -> Any:
        return work(name, source, tmp_path / "converted")

    file = tmp_path / "figures.json"
    monkeypatch.setattr(verify_memory, "in_process_of_its_own", here)
    monkeypatch.setattr(verify_memory, "full_size_checkpoint", lambda *size: demo_checkpoint)
    monkeypatch.setattr(sys, "argv", ["verify_memory", "q4", "--json", str(file)])
    assert verify_memory.main() == 0
    (comparison,) = json.loads(file.read_text())["comparisons"]
    figures = comparison["figures"]
    assert comparison["recipe"] == "q4"
    assert comparison["peak_bytes"] > (demo_checkpoint / "model.safetensors").stat().st_size
    assert figures["run"] == "layer by layer"
    assert 0 < figures["outputs"]["projector"]["relative_error"] < 0.5
    assert figures["n_tokens"] > 0
    row = capsys.readouterr().out.splitlines()[-1]
    assert row.startswith("| q4 | ")
    assert row.endswith(f" | {100 * figures['top1_agreement']:.1f} % |")


def test_a_recipe_that_there_is_not(
    verify_memory: ModuleType, monkeypatch: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["verify_memory", "q5"])
    with pytest.raises(SystemExit):
        verify_memory.main()
    assert "no recipe 'q5'" in capsys.readouterr().err
