"""Which state of our own code is measured: figures of another one are not its figures."""

from __future__ import annotations

import hashlib
from pathlib import Path

import granite_mlx


def our_version() -> str:
    """The version, and a hash of the package's sources behind it."""
    return f"{granite_mlx.__version__}+{source_hash(Path(granite_mlx.__file__).parent)}"


def source_hash(folder: Path) -> str:
    """Of all modules in a folder, by their places in it."""
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*.py")):
        digest.update(path.relative_to(folder).as_posix().encode() + path.read_bytes())
    return digest.hexdigest()[:8]
