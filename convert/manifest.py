"""granite_mlx.json: what a conversion was made of, with what, and what it cost."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from granite_mlx.errors import CheckpointError

MANIFEST_NAME = "granite_mlx.json"
FORMAT_VERSION = 1
_CHUNK_BYTES = 8 << 20


@dataclass(frozen=True)
class WeightFile:
    """A file of the source's weights, or of its adapter's."""

    name: str
    n_bytes: int
    sha256: str


@dataclass(frozen=True)
class Origin:
    """What was converted.

    `model_id` is the hub id, "demo", or the name of a folder without the place where it lay;
    `revision` is the commit of a hub checkpoint and None for the others.
    """

    model_id: str
    revision: str | None
    weights: tuple[WeightFile, ...]


@dataclass(frozen=True)
class Manifest:
    """All that is recorded about a conversion.

    Attributes:
        source: what it was made of.
        family: which member of the family it is, as `granite_mlx.model.family` has it.
        dequantised: whether the source's matrices were quantised and are floating now.
        merged_adapter: whether the source had a LoRA adapter, which is in the weights now.
        recipe: the whole recipe, as `Recipe.to_record` gives it; None where nothing was quantised.
        dtype: what the caller asked for; None keeps the source's types.
        layout: the name of the layout.
        versions: of granite-mlx and of the packages that the values depend on.
        source_bytes, n_bytes: of the files that hold the weights, before and after.
        files: name -> bytes of every file of the result but this one and the card.
        n_quantised: matrices that were quantised.
        kept_floating: module path -> reason, of matrices that the recipe names and that do not fit.
        unused_patterns: those of the recipe that fit no matrix.
        verification: the figures that were measured, None without verification.
        exceeded: sentences about figures beyond the recipe's limits, which the caller accepted.
        warnings: sentences about what else the caller should know.
    """

    source: Origin
    family: str
    dequantised: bool
    merged_adapter: bool
    recipe: Mapping[str, Any] | None
    dtype: str | None
    layout: str
    versions: Mapping[str, str]
    source_bytes: int
    n_bytes: int
    n_quantised: int
    kept_floating: Mapping[str, str]
    files: Mapping[str, int]
    unused_patterns: tuple[str, ...] = ()
    verification: Mapping[str, Any] | None = None
    exceeded: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()

    def write(self, folder: Path) -> None:
        """Write it into a folder as `MANIFEST_NAME`."""
        record = {"format_version": FORMAT_VERSION, **asdict(self)}
        # Escaped, since names of files may hold what UTF-8 cannot.
        text = json.dumps(record, indent=2, allow_nan=False)
        (folder / MANIFEST_NAME).write_text(text + "\n", encoding="utf-8")


def read_manifest(folder: Path) -> Manifest | None:
    """The manifest in a folder, or None where there is none.

    Raises:
        CheckpointError: its file is damaged or of a later version.
    """
    path = folder / MANIFEST_NAME
    if not path.is_file():
        return None
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        version = record.pop("format_version")
        if version != FORMAT_VERSION:
            raise ValueError(f"format_version is {version}, and {FORMAT_VERSION} is known")
        source = record.pop("source")
        weights = tuple(WeightFile(**file) for file in source.pop("weights"))
        for key in ("unused_patterns", "exceeded", "warnings"):
            record[key] = tuple(record[key])
        return Manifest(source=Origin(**source, weights=weights), **record)
    except (ValueError, KeyError, TypeError, AttributeError, OSError) as error:
        raise CheckpointError(f"{path} cannot be used ({error}); convert again.") from error


def file_sizes(folder: Path) -> dict[str, int]:
    """Name -> bytes of the files in a folder."""
    return {path.name: path.stat().st_size for path in sorted(folder.iterdir()) if path.is_file()}


def hash_files(paths: Iterable[Path], on_bytes: Callable[[int], None]) -> tuple[WeightFile, ...]:
    """Name, size and SHA-256 of files; `on_bytes` is called with the size of each piece read."""
    return tuple(_hash_file(path, on_bytes) for path in paths)


def _hash_file(path: Path, on_bytes: Callable[[int], None]) -> WeightFile:
    digest, n_bytes = hashlib.sha256(), 0
    with open(path, "rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            digest.update(chunk)
            n_bytes += len(chunk)
            on_bytes(len(chunk))
    return WeightFile(path.name, n_bytes, digest.hexdigest())


def versions() -> dict[str, str]:
    """Versions that a conversion's values depend on."""
    from importlib.metadata import version

    import granite_mlx

    return {"granite-mlx": granite_mlx.__version__, "mlx": version("mlx")}
