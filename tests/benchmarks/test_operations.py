"""The operations of the hot path, and the back ends that have them."""

import importlib
import re
from collections import Counter
from pathlib import Path
from types import ModuleType

import pytest


@pytest.fixture(scope="module")
def operations(benchmarks: ModuleType) -> ModuleType:
    return importlib.import_module("benchmarks.operations")


@pytest.mark.slow
def test_no_back_end_lacks_any(
    operations: ModuleType, repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GRANITE_MLX_CACHE", str(tmp_path))
    names = operations.measure()
    # From the encoder's products to what only quantised models, drafts and uneven rows need.
    assert {"AddMM", "AsStrided", "Compiled", "QuantizedMatmul", "Scatter", "Softmax"} <= set(names)
    assert operations.lacking(names) == {"CPU": [], "Metal": [], "CUDA": []}
    guide = (repository / "docs" / "performance.md").read_text(encoding="utf-8")
    _, _, rest = guide.partition("<!-- the operations, printed by")
    listed = rest.partition("-->")[2].partition("<!--")[0]
    assert re.findall(r"\w+", listed) == sorted(names)


def test_what_is_lacking_is_told(operations: ModuleType) -> None:
    missing = operations.lacking(Counter(SVD=1, Matmul=2))
    assert missing == {"CPU": [], "Metal": ["SVD"], "CUDA": ["SVD"]}


def test_all_fused_operations_are_known(operations: ModuleType, repository: Path) -> None:
    sources = "".join(path.read_text() for path in (repository / "granite_mlx").rglob("*.py"))
    used = set(re.findall(r"mx\.fast\.(\w+)", sources))
    assert {name.replace("_", "") for name in used} <= {name.lower() for name in operations.FUSED}
