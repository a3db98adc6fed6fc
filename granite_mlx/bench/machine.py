"""What a figure depends on: chip, memory, system, versions and the BLAS that computes."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

CPUINFO = Path("/proc/cpuinfo")
MAPS = Path("/proc/self/maps")
BLAS_LIBRARIES = ("openblas", "mkl", "blis", "libblas", "libcblas")


@dataclass(frozen=True)
class Machine:
    """`n_cores` are those of the CPU that this process may use; `memory_bytes` is all there is."""

    chip: str
    n_cores: int
    cores: str
    memory_bytes: int
    system: str
    python: str


def this_machine() -> Machine:
    """The machine as its system describes it."""
    n_cores = available_cores()
    return Machine(
        chip=_chip(),
        n_cores=n_cores,
        cores=_apple_cores() or str(n_cores),
        memory_bytes=os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        system=system(),
        python=platform.python_version(),
    )


def available_cores() -> int:
    """Cores that this process may use."""
    if sys.platform == "linux":
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def system() -> str:
    """The operating system, its version, and the processor's kind."""
    if sys.platform == "darwin":
        return f"macOS {platform.mac_ver()[0]} {platform.machine()}"
    return f"{platform.system()} {platform.release()} {platform.machine()}"


def installed(packages: Iterable[str]) -> dict[str, str]:
    """The versions of those packages that are installed."""
    found = {}
    for name in packages:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def loaded_blas() -> str:
    """The BLAS that products on the CPU use, as far as this process has loaded one."""
    if sys.platform == "darwin":
        return "Accelerate"
    if not MAPS.exists():
        return "not known"
    paths = [line.split()[-1] for line in MAPS.read_text(encoding="utf-8").splitlines()]
    names = {Path(path).name for path in paths if path.startswith("/")}
    return blas_of(names)


def blas_of(libraries: Iterable[str]) -> str:
    """Those of the libraries' names that are a BLAS."""
    blas = [name for name in libraries if any(known in name.lower() for known in BLAS_LIBRARIES)]
    return ", ".join(sorted(blas)) or "none"


def _chip() -> str:
    if sys.platform == "darwin":
        return _sysctl("machdep.cpu.brand_string") or platform.machine()
    if CPUINFO.exists():
        for line in CPUINFO.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.machine()


def _apple_cores() -> str | None:
    """As "10 (8 performance, 2 efficiency)"; None elsewhere."""
    if sys.platform != "darwin":
        return None
    counts = [_sysctl(f"hw.perflevel{level}.physicalcpu") for level in (0, 1)]
    if not all(counts):
        return None
    fast, slow = (int(count or 0) for count in counts)
    return f"{fast + slow} ({fast} performance, {slow} efficiency)"


def _sysctl(name: str) -> str | None:
    try:
        ran = subprocess.run(["sysctl", "-n", name], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return ran.stdout.strip() or None
