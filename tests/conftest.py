"""What all tests share: a fast BLAS, no network, and the places of things."""

import contextlib
import ctypes
import importlib.util
import os
import signal
import sys
import tempfile
from pathlib import Path
from types import ModuleType

import pytest
from hypothesis import settings

# No test is timed, and the first example may compile what the others use.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")

# mlx for Linux brings a slow BLAS. Whatever is loaded first, for all to see, serves it instead:
# this has to come before the first `import mlx`. The processes that tests start get it, too. On
# matrices as small as ours a second thread of OpenBLAS mostly waits, at the cost of a core.
if sys.platform == "linux":
    with contextlib.suppress(OSError):
        os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
        ctypes.CDLL("libopenblas.so.0", mode=ctypes.RTLD_GLOBAL)
        os.environ.setdefault("LD_PRELOAD", "libopenblas.so.0")

# No test may depend on the network, or on what the person who runs it has set. The hub is at a port
# where nobody answers; tests that need one bring their own.
os.environ["HF_ENDPOINT"] = "http://127.0.0.1:9"
for name in ("HF_HUB_OFFLINE", "GRANITE_MLX_MODEL", "GRANITE_MLX_CACHE"):
    os.environ.pop(name, None)

# A shell starts background jobs with SIGINT ignored, which the programs under test would inherit.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# MLX keeps what it compiles on a CPU among the temporary files, and writes it there in place:
# of two processes at once (pytest -n), one could load what the other has half written.
if worker := os.environ.get("PYTEST_XDIST_WORKER"):
    TEMPORARY = Path(tempfile.gettempdir(), f"granite-mlx-tests-{worker}")
    TEMPORARY.mkdir(exist_ok=True)
    os.environ["TMPDIR"] = str(TEMPORARY)

REPOSITORY = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def repository() -> Path:
    """The folder that holds pyproject.toml."""
    return REPOSITORY


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """tests/data: small recordings and stored values, described in its README.md."""
    return REPOSITORY / "tests" / "data"


@pytest.fixture(scope="session")
def demo_checkpoint() -> Path:
    """The folder of the embedded checkpoint."""
    return REPOSITORY / "granite_mlx" / "demo_checkpoint"


@pytest.fixture
def unguarded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Texts as the decoder writes them: the head of random weights hears none of their words."""
    monkeypatch.setattr("granite_mlx.writing.before_witness", lambda *_: None)
    monkeypatch.setattr(
        "granite_mlx.recognition.LoopGuard.watched", lambda _, question, *_rest: question
    )


@pytest.fixture(scope="session")
def demo_recipe() -> ModuleType:
    """The package `demo` of this repository; `importlib.import_module("demo.X")` works after it."""
    return _package_beside_ours("demo")


@pytest.fixture(scope="session")
def benchmarks() -> ModuleType:
    """The package `benchmarks` of this repository, likewise."""
    return _package_beside_ours("benchmarks")


def _package_beside_ours(name: str) -> ModuleType:
    """A package at the root, loaded by its path.

    With the root on sys.path, `convert` would be importable by a second name, and no test would
    notice a module that uses it.
    """
    spec = importlib.util.spec_from_file_location(name, REPOSITORY / name / "__init__.py")
    assert spec is not None
    assert spec.loader is not None
    package = importlib.util.module_from_spec(spec)
    sys.modules[name] = package
    spec.loader.exec_module(package)
    return package
