"""`load("...:q8")`: a conversion made once, kept in the cache, and found there from then on.

A conversion is known by its source (the commit of a hub checkpoint, a digest of what is read of a
folder), by the rules of its recipe and by `CONVERTER`: a change of any of them converts anew. The
source may be deleted afterwards: an 8 GB Mac needs the small one alone. What a branch or tag led to
is noted under refs/, so that no other revision is taken for it then.

Nothing here is compared with its source; that takes its memory and time at the first use.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import re
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from granite_mlx.convert.beside import is_read
from granite_mlx.convert.conversion import convert
from granite_mlx.convert.destination import remove_leftovers
from granite_mlx.convert.manifest import read_manifest
from granite_mlx.convert.recipes import RECIPES, Recipe
from granite_mlx.errors import CheckpointError, ConversionError
from granite_mlx.model.checkpoint import DEMO, Checkpoint, find_checkpoint, is_local_or_cached
from granite_mlx.model.family import SECOND_HEAD_NAME
from granite_mlx.model.folder import first_missing
from granite_mlx.model.hub import download_besides

CACHE_VARIABLE = "GRANITE_MLX_CACHE"
N_HASH_DIGITS = 12

CONVERTER = 1
"""Counts the changes of the converter that make other files of the same source and recipe."""

HASHED_BYTES = 32 << 20
"""Files up to this size are known by their content, larger ones by their size and time."""

MAIN = "main"
_COMMIT = re.compile(r"[0-9a-f]{7,40}")
_REFS, _LOCKS = "refs", "locks"


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
    shelf = _Shelf(cache_folder(), _slug(base), RECIPES[recipe_name])
    model_id = f"{base}:{recipe_name}"
    if not is_local_or_cached(base, revision):
        kept = shelf.find(revision)
        if kept is not None:
            return Checkpoint(kept, model_id, _commit_of(kept))
    source = find_checkpoint(base, revision, on_progress)
    _fetch_head(source, on_progress)
    folder = shelf.folder(source)
    try:
        if is_whole(folder) and not _lacks_head(folder, source):
            with suppress(OSError):  # others' caches may be for reading only
                shelf.note(source, revision)
        else:
            with shelf.lock():
                _make(source, folder, shelf.recipe, on_progress)
                shelf.note(source, revision)
                shelf.clear()
    except OSError as error:
        raise CheckpointError(
            f"{base} cannot be kept as {recipe_name} in {shelf.cache} ({error.strerror}); make "
            f"it writable, or set {CACHE_VARIABLE} to another folder."
        ) from error
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
    """Whether a folder holds a complete conversion, with all files as long as they were."""
    try:
        manifest = read_manifest(folder)
        return (
            manifest is not None
            and all((folder / n).stat().st_size == size for n, size in manifest.files.items())
            and first_missing(folder) is None
        )
    except (CheckpointError, OSError):
        return False


class _Shelf:
    """The conversions of one source by one recipe.

    Their folders are NAME--VERSION--RECIPE-DIGEST, where VERSION is a commit's first digits or a
    digest of a folder's files. refs/NAME--RECIPE--REVISION holds the version that a revision of
    the source stood for when it was last here.
    """

    def __init__(self, cache: Path, name: str, recipe: Recipe) -> None:
        self.cache, self.recipe = cache, recipe
        self._name = name
        self._suffix = f"{recipe.name}-{_digest([CONVERTER, recipe.to_rules()])}"

    def folder(self, source: Checkpoint) -> Path:
        """Where the conversion of a source is, or is to be."""
        return self._folder(_version(source))

    def find(self, revision: str | None) -> Path | None:
        """The conversion of a revision that is no longer here itself."""
        ref = self._ref(revision)
        if ref.is_file():
            folder = self._folder(ref.read_text(encoding="utf-8"))
            return folder if is_whole(folder) else None
        if revision is not None and _COMMIT.fullmatch(revision):
            return next(self._of_commit(revision), None)
        return None

    def note(self, source: Checkpoint, revision: str | None) -> None:
        """Remember what a revision stands for."""
        ref, version = self._ref(revision), _version(source)
        if not ref.is_file() or ref.read_text(encoding="utf-8") != version:
            ref.parent.mkdir(parents=True, exist_ok=True)
            ref.write_text(version, encoding="utf-8")

    def clear(self) -> None:
        """Remove what no revision stands for any more, of an older converter, or half made."""
        refs = (self.cache / _REFS).iterdir()
        versions = {r.read_text(encoding="utf-8") for r in refs if r.name.startswith(self._start)}
        kept = {self._folder(version) for version in versions}
        for folder in self._all():
            if folder not in kept:
                shutil.rmtree(folder, ignore_errors=True)
        remove_leftovers(self.cache)

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Wait until no other process makes or clears one of these conversions."""
        path = self.cache / _LOCKS / f"{self._name}--{self.recipe.name}"
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(path, "w", encoding="utf-8") as file:
            fcntl.flock(file, fcntl.LOCK_EX)  # ends with the file, and with the process
            yield

    @property
    def _start(self) -> str:
        return f"{self._name}--{self.recipe.name}--"

    def _ref(self, revision: str | None) -> Path:
        revision = revision or MAIN
        return self.cache / _REFS / f"{self._start}{_words(revision)}-{_digest(revision)}"

    def _folder(self, version: str) -> Path:
        return self.cache / f"{self._name}--{version}--{self._suffix}"

    def _of_commit(self, start: str) -> Iterator[Path]:
        """The conversion of a commit of which the first digits are given."""
        for folder in self._all():
            is_asked_for = (_commit_of(folder) or "").startswith(start)
            if is_asked_for and folder.name.endswith(f"--{self._suffix}") and is_whole(folder):
                yield folder

    def _all(self) -> list[Path]:
        digest = rf"[0-9a-f]{{{N_HASH_DIGITS}}}"
        name, recipe = re.escape(self._name), re.escape(self.recipe.name)
        pattern = re.compile(f"{name}--{digest}--{recipe}-{digest}")
        folders = self.cache.iterdir() if self.cache.is_dir() else ()
        return sorted(path for path in folders if pattern.fullmatch(path.name))


def _make(
    source: Checkpoint,
    folder: Path,
    recipe: Recipe,
    on_progress: Callable[[int, int], None] | None,
) -> None:
    def show(stage: str, done_bytes: int, total_bytes: int) -> None:
        if on_progress is not None and stage == "write":
            on_progress(done_bytes, total_bytes)

    if is_whole(folder) and not _lacks_head(folder, source):
        return  # another process has made it in the meantime
    if folder.exists():
        shutil.rmtree(folder)  # it is damaged, or was made without the network
    try:
        convert(source, folder, recipe=recipe, on_progress=show)
    except ConversionError as error:
        raise CheckpointError(
            f"{source.model_id} cannot be kept as {recipe.name}: {error}"
        ) from error


def _fetch_head(source: Checkpoint, on_progress: Callable[[int, int], None] | None) -> None:
    """Bring the second head of a hub checkpoint that others have put into the cache without it.

    Drafts can do without, so being offline ends nothing; the next time it is asked for again.
    """
    if source.revision is not None:
        with suppress(CheckpointError):
            download_besides(source.model_id, source.revision, (SECOND_HEAD_NAME,), on_progress)


def _lacks_head(folder: Path, source: Checkpoint) -> bool:
    return (source.folder / SECOND_HEAD_NAME).is_file() > (folder / SECOND_HEAD_NAME).is_file()


def _commit_of(folder: Path) -> str | None:
    """The commit that a conversion was made of; None for a folder's, or one that is damaged."""
    with suppress(CheckpointError):
        manifest = read_manifest(folder)
        return None if manifest is None else manifest.source.revision
    return None


def _version(source: Checkpoint) -> str:
    """The commit of a hub checkpoint; for a folder a digest that changes with its files."""
    if source.revision is not None:
        return source.revision[:N_HASH_DIGITS]
    files = sorted(path for path in source.folder.iterdir() if is_read(path.name))
    return _digest([(path.name, *_state(path)) for path in files if path.is_file()])


def _state(path: Path) -> tuple[int, str | int]:
    """Size and content of a file, or the time of one that is long to read."""
    try:
        stat = path.stat()
        if stat.st_size > HASHED_BYTES:
            return stat.st_size, stat.st_mtime_ns
        return stat.st_size, hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read ({error.strerror}).") from error


def _slug(base: str) -> str:
    """A file name for a model id; folders get their own name and a hash of their place."""
    if base != DEMO and os.path.isdir(os.path.expanduser(base)):
        place = os.path.realpath(os.path.expanduser(base))
        return f"{_words(Path(place).name)}-{_digest(place)}"
    return "--".join(_words(part) for part in base.split("/"))


def _words(text: str) -> str:
    return re.sub(r"[^\w.]+", "-", text) or "model"


def _digest(value: object) -> str:
    text = json.dumps(value, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:N_HASH_DIGITS]
