"""The self-test itself: every check is made, whatever becomes of the others."""

import re
from itertools import product
from pathlib import Path
from typing import Any

import mlx.core as mx
import pytest
from huggingface_hub.constants import HF_HUB_CACHE

from granite_mlx.doctor import Check, selftest, system_report, what_fits
from granite_mlx.model import memory
from granite_mlx.model.weights import DTYPES
from granite_mlx.selftest import recording, stages

METAL = {"memory_size": 8_589_934_592, "max_recommended_working_set_size": 5_726_623_061}
"""Of a Mac with 8 GB."""


def fail(*args: Any) -> Any:
    raise RuntimeError("[metal] no such kernel")


def test_one_exception_fails_one_check(monkeypatch: pytest.MonkeyPatch) -> None:
    some = {"decoder": fail, "features": stages.STAGES["features"], "whole model": fail}
    monkeypatch.setattr(stages, "NETWORKS", ((stages.CONFIG, some),))
    monkeypatch.setattr(stages, "build", lambda dtype, raw_config: (None, None))
    monkeypatch.setattr(recording, "STAGES", {"features": lambda model: mx.zeros(3)})
    monkeypatch.setattr(recording, "open_model", fail)
    seen: list[Check] = []
    checks = selftest(seen.append)
    assert seen == checks
    names = [*some, "demo: features", "demo: text"]
    assert {(c.name, c.dtype) for c in checks} == set(product(names, DTYPES))
    assert len(checks) == len(names) * len(DTYPES)
    assert {c.name for c in checks if c.passed} == {"features"}
    failed = [c for c in checks if not c.passed]
    assert {c.detail for c in failed} == {"RuntimeError: [metal] no such kernel"}
    assert all(c.difference > c.limit for c in failed)


def test_a_network_that_cannot_be_built_fails_its_checks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stages, "build", fail)
    monkeypatch.setattr(recording, "open_model", fail)
    checks = selftest()
    assert {c.name for c in checks} > {name for _, some in stages.NETWORKS for name in some}
    assert {c.detail for c in checks} == {"RuntimeError: [metal] no such kernel"}


def test_what_fits_a_mac_with_8_gb(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "_metal_info", lambda: METAL)
    assert what_fits() == (
        "ibm-granite/granite-4.0-1b-speech fits :q8 (3.5 GB), :q6 (3.0 GB), :q4 (2.8 GB), "
        ":q4-small (2.4 GB); not as published (5.6 GB)"
    )
    assert system_report()["memory"].endswith("of which Metal recommends 5.7 for one program")


@pytest.mark.parametrize(
    ("available", "said"),
    [
        (100_000_000_000, r"fits as published \(5\.6 GB\), .*:q4-small \(2\.4 GB\)$"),
        (1_000_000_000, r"fits in no form; not as published \(5\.6 GB\), .*:q4-small"),
    ],
)
def test_what_fits_without_metal(
    monkeypatch: pytest.MonkeyPatch, available: int, said: str
) -> None:
    monkeypatch.setattr(memory, "_metal_info", lambda: None)
    monkeypatch.setattr(memory, "_available_bytes", lambda: available)
    assert re.search(said, what_fits())


def test_the_report_tells_where_the_caches_are(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("GRANITE_MLX_CACHE", str(tmp_path))
    assert system_report()["conversions"] == f"{tmp_path} (none)"
    for name in ("a", "b", ".c.partial-0123abcd"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "granite_mlx.json").touch()
        (tmp_path / name / "model.safetensors").write_bytes(bytes(6_000_000))
    report = system_report()
    assert report["conversions"] == f"{tmp_path} (2, 0.01 GB)"
    assert report["hub cache"].startswith(HF_HUB_CACHE)
