"""The package `benchmarks`, which is not installed."""

import importlib
import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest


@pytest.fixture(scope="session")
def benchmarks(repository: Path) -> ModuleType:
    """The package; `importlib.import_module("benchmarks.X")` works after it.

    Loaded by its path, for the reason that `demo_recipe` gives.
    """
    init = repository / "benchmarks" / "__init__.py"
    spec = importlib.util.spec_from_file_location("benchmarks", init)
    assert spec is not None
    assert spec.loader is not None
    package = importlib.util.module_from_spec(spec)
    sys.modules["benchmarks"] = package
    spec.loader.exec_module(package)
    return package


@pytest.fixture(scope="session")
def full_size(benchmarks: ModuleType) -> ModuleType:
    """benchmarks.full_size"""
    return importlib.import_module("benchmarks.full_size")


@pytest.fixture(scope="session")
def convert_memory(benchmarks: ModuleType) -> ModuleType:
    """benchmarks.convert_memory"""
    return importlib.import_module("benchmarks.convert_memory")
