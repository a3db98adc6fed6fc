"""The helpers of these tests, and an archive of short recordings."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

HERE = Path(__file__).parent


def _module(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, HERE / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def archives() -> ModuleType:
    """archives.py beside this file."""
    return _module("archives")


@pytest.fixture(scope="session")
def short_recordings() -> ModuleType:
    """short_recordings.py beside this file."""
    return _module("short_recordings")


@pytest.fixture(scope="session")
def ray_cluster() -> ModuleType:
    """ray_cluster.py beside this file."""
    return _module("ray_cluster")
