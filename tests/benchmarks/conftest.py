"""Modules of `benchmarks`."""

import importlib
from types import ModuleType

import pytest


@pytest.fixture(scope="session")
def full_size(benchmarks: ModuleType) -> ModuleType:
    """benchmarks.full_size"""
    return importlib.import_module("benchmarks.full_size")


@pytest.fixture(scope="session")
def convert_memory(benchmarks: ModuleType) -> ModuleType:
    """benchmarks.convert_memory"""
    return importlib.import_module("benchmarks.convert_memory")
