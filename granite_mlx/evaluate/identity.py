"""What somebody needs to repeat an evaluation: weights, versions, machine."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from granite_mlx.bench.machine import installed, loaded_blas, this_machine
from granite_mlx.model.checkpoint import (
    DEFAULT_MODEL,
    MODEL_VARIABLE,
    find_checkpoint,
    is_local_or_cached,
    split_recipe,
)

PACKAGES = (
    "granite-mlx", "mlx", "mlx-metal", "mlx-cpu", "mlx-cuda-12", "mlx-cuda-13", "numpy",
    "tokenizers", "whisper-normalizer", "sacrebleu", "datasets",
)  # fmt: skip

WEIGHTS = "*.safetensors"


def weights_identity(model: str | None, revision: str | None) -> dict[str, Any]:
    """Which weights a model that is loaded has: the hub's commit, or SHA-256 of a folder's files.

    A recipe behind the model is in its name; the weights are those that were converted.
    """
    recipe = split_recipe(model)
    base = recipe[0] if recipe else model or os.environ.get(MODEL_VARIABLE) or DEFAULT_MODEL
    if not _is_here(base, revision):
        return {"commit": None, "sha256": None}
    found = find_checkpoint(base, revision)
    if found.revision is not None:
        return {"commit": found.revision, "sha256": None}
    sums = {path.name: _sha256(path) for path in sorted(found.folder.glob(WEIGHTS))}
    return {"commit": None, "sha256": sums}


def circumstances() -> Mapping[str, Any]:
    """Machine and versions; the BLAS is told where the CPU computes."""
    import mlx.core as mx

    on_cpu = mx.default_device() == mx.Device(mx.cpu)
    return {
        "machine": asdict(this_machine()),
        "versions": installed(PACKAGES),
        "device": str(mx.default_device()),
        "blas": loaded_blas() if on_cpu else None,
    }


def _is_here(model: str, revision: str | None) -> bool:
    try:
        return is_local_or_cached(model, revision)
    except Exception:
        return False


def _sha256(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
