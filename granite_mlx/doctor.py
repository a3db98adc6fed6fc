"""What machine this is, and whether the model computes what it should on it.

Most of this package was written without a Mac. `selftest` is how a user's Mac proves it: the
network at its real widths and the demo checkpoint, in every precision, against stored values that
transformers computed in float32.
"""

from __future__ import annotations

import math
import os
import platform
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache, partial
from itertools import chain, product
from pathlib import Path
from typing import TYPE_CHECKING

from granite_mlx.bench.machine import installed, system

if TYPE_CHECKING:
    import mlx.core as mx

    from granite_mlx.engine import MLXThread
    from granite_mlx.model.config import SpeechConfig
    from granite_mlx.model.speech_model import SpeechModel
    from granite_mlx.selftest.random_weights import Array
    from granite_mlx.selftest.stages import Stage

PACKAGES = (
    "granite-mlx", "mlx", "mlx-metal", "mlx-cpu", "numpy", "soundfile", "soxr", "av", "tokenizers",
    "jinja2", "huggingface-hub",
)  # fmt: skip

STORED = Path(__file__).parent / "selftest_data" / "stages.npz"

ABSOLUTE_LIMITS = {"frames": 1e-4, "logits": 1e-3}
"""float32: largest absolute difference at unit scale."""

RELATIVE_LIMITS = {"float32": 1e-4, "float16": 1e-2, "bfloat16": 5e-2}
"""Norm of the differences over the norm of the reference."""


@dataclass(frozen=True)
class Check:
    """One comparison: `difference` must not exceed `limit`."""

    name: str
    dtype: str
    difference: float
    limit: float
    passed: bool
    detail: str


def system_report() -> dict[str, str]:
    """Machine, versions, device, what fits its memory, and the caches, for a bug report."""
    import mlx.core as mx
    from huggingface_hub.constants import HF_HUB_CACHE

    from granite_mlx.convert.variants import cache_folder

    device = mx.device_info()
    report = {
        "system": system(),
        "python": f"{platform.python_version()} ({sys.executable})",
        "device": f"{mx.default_device()}, {device.get('device_name', 'unknown')}",
        "metal": "available" if mx.metal.is_available() else "not available",
        "memory": _memory(_memory_bytes(device)),
        "default model": what_fits(),
    }
    report |= installed(PACKAGES)
    report["hub cache"] = f"{HF_HUB_CACHE} ({_cached_models(Path(HF_HUB_CACHE))})"
    report["conversions"] = f"{cache_folder()} ({_conversions(cache_folder())})"
    report["GRANITE_MLX_MODEL"] = os.environ.get("GRANITE_MLX_MODEL", "not set")
    return report


def _memory_bytes(device: dict[str, str | int]) -> int:
    size = device.get("memory_size")
    return int(size) if size else os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _memory(n_bytes: int) -> str:
    from granite_mlx.model.memory import recommended_bytes

    share = recommended_bytes()
    if share is None:
        return f"{n_bytes / 1e9:.1f} GB"
    return f"{n_bytes / 1e9:.1f} GB, of which Metal recommends {share / 1e9:.1f} for one program"


def what_fits() -> str:
    """In which forms IBM's model fits this machine beside other programs, largest first."""
    from granite_mlx.model.checkpoint import DEFAULT_MODEL
    from granite_mlx.model.memory import PUBLISHED_BYTES, RECIPE_BYTES, WORKING_BYTES, has_room

    forms = {"as published": PUBLISHED_BYTES}
    forms |= {f":{name}": n_bytes for name, n_bytes in RECIPE_BYTES.items()}
    told: dict[bool, list[str]] = {True: [], False: []}
    for name, n_bytes in forms.items():
        told[has_room(n_bytes)].append(f"{name} ({(n_bytes + WORKING_BYTES) / 1e9:.1f} GB)")
    fits, too_large = (", ".join(told[has]) or "in no form" for has in (True, False))
    return f"{DEFAULT_MODEL} fits {fits}" + (f"; not {too_large}" if told[False] else "")


def _cached_models(cache: Path) -> str:
    names = sorted(p.name.removeprefix("models--").replace("--", "/")
                   for p in cache.glob("models--*granite*speech*"))  # fmt: skip
    return ", ".join(names) if names else "no Granite Speech models"


def _conversions(cache: Path) -> str:
    """How many there are, and how large."""
    from granite_mlx.convert.manifest import MANIFEST_NAME

    folders = [path.parent for path in cache.glob(f"[!.]*/{MANIFEST_NAME}")]
    n_bytes = sum(file.stat().st_size for folder in folders for file in folder.iterdir())
    return f"{len(folders)}, {n_bytes / 1e9:.2f} GB" if folders else "none"


def selftest(on_check: Callable[[Check], None] | None = None) -> list[Check]:
    """Run every check on MLX's default device, in float32, float16 and bfloat16.

    `on_check` is called with each result as it comes.
    """
    from granite_mlx.engine import shared_thread

    checks: list[Check] = []
    thread = shared_thread()
    thread.run(_run_all, thread, checks, on_check or (lambda check: None))
    return checks


def _run_all(thread: MLXThread, checks: list[Check], on_check: Callable[[Check], None]) -> None:
    from granite_mlx.selftest.recording import recording_checks

    for check in chain(_stage_checks(), recording_checks(thread)):
        checks.append(check)
        on_check(check)


def _stage_checks() -> Iterator[Check]:
    """The stages at real widths, of the default model and of what others add to it."""
    import mlx.core as mx
    import numpy as np

    from granite_mlx.model.weights import DTYPES
    from granite_mlx.selftest import stages

    stored = np.load(STORED)
    for dtype, (raw_config, network_stages) in product(DTYPES, stages.NETWORKS):
        network = cache(partial(stages.build, DTYPES[dtype], raw_config))
        for name, stage in network_stages.items():
            if dtype == "float32" or name in stages.HALF_PRECISION:
                yield output_check(name, dtype, partial(_output, stage, network), stored[name])
        del network
        mx.clear_cache()


def _output(stage: Stage, network: Callable[[], tuple[SpeechConfig, SpeechModel]]) -> mx.array:
    return stage(*network())


def output_check(name: str, dtype: str, output: Callable[[], mx.array], reference: Array) -> Check:
    """Compute a stage's output and judge it; the other checks go on if that raises."""
    from granite_mlx.selftest import stages

    try:
        difference = stages.compare(output(), reference)
    except Exception as error:
        return failed_check(name, dtype, error)
    return stage_check(name, dtype, difference.largest, difference.relative)


def failed_check(name: str, dtype: str, error: Exception) -> Check:
    """The check of what could not be computed at all."""
    return Check(name, dtype, math.inf, 0.0, False, f"{type(error).__name__}: {error}")


def stage_check(name: str, dtype: str, largest: float, relative: float) -> Check:
    """Judge a stage: in float32 by the largest difference, in half precision by the relative."""
    from granite_mlx.selftest import stages

    is_logits = name in stages.LOGITS or name.endswith("logits")
    if dtype == "float32":
        limit = ABSOLUTE_LIMITS["logits" if is_logits else "frames"]
        return Check(name, dtype, largest, limit, largest <= limit, f"relative {relative:.1e}")
    limit = RELATIVE_LIMITS[dtype]
    return Check(name, dtype, relative, limit, relative <= limit, f"largest {largest:.1e}")
