"""The self-test itself: every check is made, whatever becomes of the others."""

from itertools import product
from typing import Any

import mlx.core as mx
import pytest

from granite_mlx.doctor import Check, selftest
from granite_mlx.model.weights import DTYPES
from granite_mlx.selftest import recording, stages


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
    assert {c.name for c in checks} > {*stages.STAGES, *stages.LATER_STAGES}
    assert {c.detail for c in checks} == {"RuntimeError: [metal] no such kernel"}
