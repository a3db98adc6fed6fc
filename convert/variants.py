"""`load("...:q8")`: a conversion made once, kept in the cache, and found there from then on.

A conversion is known by its source (the commit of a hub checkpoint; names, sizes and times of a
folder's files) and by its recipe's full text, so a changed one of either is converted anew. The
source may be deleted afterwards: an 8 GB Mac needs the small one alone.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import sys
from collections.abc import Callable
from pathlib import Path

from granite_mlx.convert.conversion import convert
from granite_mlx.convert.recipes import RECIPES
from granite_mlx.errors import CheckpointError, ConversionError
from granite_mlx.model.checkpoint import DEMO, Checkpoint, find_checkpoint, is_local_or_cached
from granite_mlx.model.folder import first_missing

CACHE_VARIABLE = "GRANITE_MLX_CACHE"
N_HASH_DIGITS = 12


def cached_conversion(
    base: str,
    recipe_name: str,
    revision: str | None = None,
    on_progress: Callable[[int, int], None] | None = None,
) -> Checkpoint:
    """The checkpoint `base` converted with a recipe: found in the cache, or made now.

    Args:
        base: a hub id, a folder or "demo".
        recipe_name: a name of `RECIPES`.
        revision: branch, tag or commit of a hub id.
        on_progress: called with (bytes done, bytes in all) of the download, then of the conversion.

    Raises:
        CheckpointError: there is no such recipe or source, or the source cannot be converted.
    """
    if recipe_name not in RECIPES:
        raise CheckpointError(
            f"{base}:{recipe_name} names the recipe {recipe_name!r}, but there are only "
            f"{', '.join(RECIPES)}; `granite-mlx convert` takes others."
        )
    model_id, name = f"{base}:{recipe_name}", _slug(base)
    suffix = f"{recipe_name}-{_digest(RECIPES[recipe_name].to_record())}"
    if revision is None and not is_local_or_cached(base):
        kept = _newest(name, suffix)
        if kept is not None:
            return Checkpoint(kept, model_id, revision=None)
    source = find_checkpoint(base, revision, on_progress)
    folder = cache_folder() / f"{name}--{_source_version(source)}--{suffix}"
    if not is_whole(folder):
        _make(base, folder, recipe_name, revision, on_progress)
    return Checkpoint(folder, model_id, source.revision)


def cache_folder() -> Path:
    """Where conversions are kept: $GRANITE_MLX_CACHE, or the system's place for caches."""
    chosen = os.environ.get(CACHE_VARIABLE)
    if chosen:
        return Path(chosen).expanduser()
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "granite-mlx"
    caches = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(caches) / "granite-mlx"


def is_whole(folder: Path) -> bool:
    """Whether a folder holds a complete checkpoint."""
    return folder.is_dir() and first_missing(folder) is None


def _make(
    base: str,
    folder: Path,
    recipe_name: str,
    revision: str | None,
    on_progress: Callable[[int, int], None] | None,
) -> None:
    def show(stage: str, done_bytes: int, total_bytes: int) -> None:
        if on_progress is not None and stage in ("download", "write"):
            on_progress(done_bytes, total_bytes)

    # A damaged one is replaced; one that another process has just finished is as good as ours.
    try:
        convert(
            base,
            folder,
            recipe=recipe_name,
            revision=revision,
            force=folder.exists(),
            on_progress=show,
        )
    except ConversionError as error:
        if not is_whole(folder):
            raise CheckpointError(f"{base} cannot be kept as {recipe_name}: {error}") from error
    except OSError as error:
        raise CheckpointError(
            f"{base} cannot be kept as {recipe_name} in {folder.parent} ({error.strerror}); make "
            f"it writable, or set {CACHE_VARIABLE} to another folder."
        ) from error


def _newest(name: str, suffix: str) -> Path | None:
    """The last conversion of a source that is no longer here itself."""
    kept = [path for path in cache_folder().glob(f"{name}--*--{suffix}") if is_whole(path)]
    return max(kept, key=lambda path: path.stat().st_mtime, default=None)


def _slug(base: str) -> str:
    """A file name for a model id; folders get their own name and a hash of their place."""
    if base != DEMO and os.path.isdir(os.path.expanduser(base)):
        place = os.path.realpath(os.path.expanduser(base))
        return f"{_words(Path(place).name)}-{_digest(place)}"
    return "--".join(_words(part) for part in base.split("/"))


def _words(text: str) -> str:
    return re.sub(r"[^\w.]+", "-", text) or "model"


def _source_version(source: Checkpoint) -> str:
    """The commit of a hub checkpoint; for a folder a digest that changes with its files."""
    if source.revision is not None:
        return source.revision[:N_HASH_DIGITS]
    files = sorted(path for path in source.folder.iterdir() if path.is_file())
    return _digest([(p.name, p.stat().st_size, p.stat().st_mtime_ns) for p in files])


def _digest(value: object) -> str:
    text = json.dumps(value, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:N_HASH_DIGITS]
