import json
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from granite_mlx.convert.layouts import LAYOUTS
from granite_mlx.convert.recipes import RECIPES

SIZE = 64 << 20


def test_every_recipe_and_layout_is_measured(convert_memory: ModuleType) -> None:
    cases = convert_memory.CASES.values()
    assert {case["recipe"] for case in cases if "recipe" in case} == set(RECIPES)
    assert {case.get("layout", "granite-mlx") for case in cases} == set(LAYOUTS)


@pytest.mark.slow
def test_a_conversion_is_measured_in_a_process_of_its_own(
    convert_memory: ModuleType, demo_checkpoint: Path, tmp_path: Path, monkeypatch: Any
) -> None:
    monkeypatch.setenv("GRANITE_MLX_BENCH", str(tmp_path))
    # A new process gets this one's sys.path, which `python -m benchmarks.convert_memory` has.
    monkeypatch.syspath_prepend(str(Path(convert_memory.__file__).parents[1]))
    held = bytearray(b"x") * SIZE * 8  # this process's memory is not counted
    measured = convert_memory.in_process_of_its_own("q8", demo_checkpoint, convert_memory.measure)
    weights_bytes = (demo_checkpoint / "model.safetensors").stat().st_size
    assert measured.case == "q8"
    assert measured.seconds > 0
    assert 0.5 * weights_bytes < measured.result_bytes < 0.75 * weights_bytes
    assert weights_bytes < measured.peak_bytes < len(held)
    assert list(tmp_path.iterdir()) == []


def test_the_peak_is_what_was_held_and_not_what_is(convert_memory: ModuleType) -> None:
    script = (
        "from granite_mlx.bench.memory import peak_process_bytes\n"
        "before = peak_process_bytes()\n"
        f"held = bytearray(b'x') * {SIZE}\n"
        "del held\n"
        "print(peak_process_bytes() - before)"
    )
    root = Path(convert_memory.__file__).parents[1]
    command = [sys.executable, "-c", script]
    output = subprocess.run(command, check=True, capture_output=True, text=True, cwd=root).stdout
    assert SIZE * 0.9 < int(output) < SIZE * 1.2


@pytest.mark.parametrize(("peak_gib", "exit_code"), [(1.0, 0), (3.0, 1)])
def test_too_much_memory_is_reported(
    convert_memory: ModuleType,
    demo_checkpoint: Path,
    tmp_path: Path,
    monkeypatch: Any,
    capsys: pytest.CaptureFixture[str],
    peak_gib: float,
    exit_code: int,
) -> None:
    def measured(case: str, source: Path, work: Any) -> Any:
        assert (source, work) == (demo_checkpoint, convert_memory.measure)
        return convert_memory.Measurement(case, 12.3, int(peak_gib * 2**30), 2_500_000_000)

    monkeypatch.setattr(convert_memory, "in_process_of_its_own", measured)
    monkeypatch.setattr(convert_memory, "full_size_checkpoint", lambda *size: demo_checkpoint)
    file = tmp_path / "figures.json"
    monkeypatch.setattr(sys, "argv", ["convert_memory", "q8", "q4", "--json", str(file)])
    assert convert_memory.main() == exit_code
    assert f"| q8 | 12 s | {peak_gib:.2f} GiB | 2.50 GB |" in capsys.readouterr().out
    figures = json.loads(file.read_text())
    assert [entry["case"] for entry in figures["conversions"]] == ["q8", "q4"]
    largest = 1792 * 256 * 2  # the embedding table in bfloat16
    assert figures["allowed_peak_bytes"] == 3 * 2**29 + largest
    assert figures["system"]["mlx"]


def test_the_guide_has_what_was_measured(convert_memory: ModuleType, repository: Path) -> None:
    largest = 100_353 * 2048 * 2  # the embedding table of granite-4.0-1b-speech
    *head, allowed = convert_memory.table([], 3 * 2**29 + largest).splitlines()
    guide = (repository / "docs" / "quantisation.md").read_text(encoding="utf-8").splitlines()
    start = guide.index(head[0]) + len(head)
    rows = guide[start : guide.index(allowed)]
    cells = [[cell.strip() for cell in row.strip("|").split("|")] for row in rows]
    assert [case for case, *_ in cells] == list(convert_memory.CASES)
    limit = float(allowed.split("|")[3].split()[0])
    assert all(0 < float(peak.removesuffix(" GiB")) < limit for _, _, peak, _ in cells)
