"""From a checkpoint to a converted one: the whole path, in the order in which it happens."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from granite_mlx.convert.beside import (
    carried_files,
    converted_config,
    fetch_carried,
    write_config,
)
from granite_mlx.convert.card import write_card
from granite_mlx.convert.destination import Destination
from granite_mlx.convert.layout import Layout
from granite_mlx.convert.layouts import LAYOUTS
from granite_mlx.convert.manifest import (
    Manifest,
    Source,
    WeightFile,
    hash_files,
    versions,
)
from granite_mlx.convert.plan import HEAD, Plan, plan
from granite_mlx.convert.recipes import Recipe, read_recipe
from granite_mlx.convert.source import OpenSource, open_floating, open_quantised
from granite_mlx.convert.stream import shards, write_weights
from granite_mlx.engine import shared_thread
from granite_mlx.errors import ConversionError
from granite_mlx.model.checkpoint import Checkpoint, find_checkpoint
from granite_mlx.model.config import parse_config
from granite_mlx.model.folder import first_missing, read_config
from granite_mlx.model.stored import TensorSource, check_tied_head
from granite_mlx.model.weights import DTYPES

OnProgress = Callable[[str, int, int], None]
"""(what is being done: "download", "hash" or "write"; bytes done; bytes in all)."""


@dataclass(frozen=True)
class Verdict:
    """What verification has found: the figures, and a sentence for each beyond its limit."""

    figures: Mapping[str, Any]
    exceeded: tuple[str, ...]


class BeyondLimitsError(ConversionError):
    """A result lost more than its recipe allows; `verdict` has all that was found."""

    def __init__(self, verdict: Verdict) -> None:
        super().__init__(
            "the conversion lost more than its recipe allows: "
            f"{' '.join(verdict.exceeded)} Nothing was kept; choose a recipe with more bits, or "
            "--force (in Python force=True) to keep it."
        )
        self.verdict = verdict


class Verifier(Protocol):
    """Compares a conversion with its source."""

    def __call__(self, source: Checkpoint, converted: Path) -> Verdict: ...


@dataclass(frozen=True)
class Job:
    """A conversion of which everything is decided and nothing is done."""

    checkpoint: Checkpoint
    config: Mapping[str, Any]
    tensors: TensorSource
    recipe: Recipe | None
    dtype: str | None
    plan: Plan

    @property
    def source_bytes(self) -> int:
        """Bytes of the source's weights as they lie in its files."""
        return sum(path.stat().st_size for path in self.tensors.paths)


def convert(
    source: str | os.PathLike[str] | None,
    destination: str | os.PathLike[str],
    *,
    recipe: Recipe | str | os.PathLike[str] | None = None,
    dtype: str | None = None,
    dequantise: bool = False,
    revision: str | None = None,
    force: bool = False,
    layout: str = "granite-mlx",
    verify: Verifier | None = None,
    on_progress: OnProgress | None = None,
) -> Manifest:
    """Convert a checkpoint into a new folder, which is there whole or not at all.

    Args:
        source: a hub id, a folder or "demo", as for `granite_mlx.load`.
        destination: the folder to make, with those above it.
        recipe: a name of `granite_mlx.convert.recipes.RECIPES`, a TOML file or a Recipe; None
            quantises nothing.
        dtype: "float32", "float16" or "bfloat16" of what stays floating; None keeps it.
        dequantise: make floating matrices of a quantised source's.
        revision: branch, tag or commit of a hub id.
        force: replace an earlier conversion at the destination once the new one is whole, and
            keep a result whose figures exceed the recipe's limits.
        layout: "granite-mlx", or "mlx-audio" for a result that mlx-audio loads.
        verify: compares the result with its source before it takes its place; None does not.
        on_progress: called with (what is done, bytes done, bytes in all), not always on the
            caller's thread. What it raises ends the conversion.

    Returns:
        What the result's granite_mlx.json holds.

    Raises:
        ConversionError: the recipe, the source or the destination cannot be used, the disk is
            full, or the result exceeds the recipe's limits.
        CheckpointError: the source cannot be found, fetched or read.
        ValueError: an unknown dtype or layout.
    """
    target = Destination(destination, force=force)  # before anything is downloaded for it
    job = prepare(
        source,
        recipe=recipe,
        dtype=dtype,
        dequantise=dequantise,
        revision=revision,
        layout=layout,
        on_progress=on_progress,
    )
    target.keep_apart_from(job.checkpoint.folder)
    if job.checkpoint.revision is not None:
        fetch_carried(job.checkpoint, partial(on_progress or _show_nothing, "download"))
    return shared_thread().run(_carry_out, job, target, verify, force, on_progress)


def prepare(
    source: str | os.PathLike[str] | None,
    *,
    recipe: Recipe | str | os.PathLike[str] | None = None,
    dtype: str | None = None,
    dequantise: bool = False,
    revision: str | None = None,
    layout: str = "granite-mlx",
    on_progress: OnProgress | None = None,
) -> Job:
    """Find a source and decide what becomes of each of its tensors; writes nothing.

    Takes the same arguments as `convert`, and raises the same errors.
    """
    if dtype is not None and dtype not in DTYPES:
        raise ValueError(f"dtype must be one of {', '.join(DTYPES)}, not {dtype!r}.")
    if layout not in LAYOUTS:
        raise ValueError(f"layout must be one of {', '.join(LAYOUTS)}, not {layout!r}.")
    if dequantise and recipe is not None:
        raise ConversionError("a conversion either dequantises or follows a recipe, not both.")
    if recipe is not None and not isinstance(recipe, Recipe):
        recipe = read_recipe(recipe)
    show = on_progress or _show_nothing
    checkpoint = find_checkpoint(source, revision, partial(show, "download"))
    open_source = open_quantised if dequantise else open_floating
    return shared_thread().run(_prepare, checkpoint, open_source, recipe, dtype, LAYOUTS[layout])


def _prepare(
    checkpoint: Checkpoint,
    open_source: OpenSource,
    recipe: Recipe | None,
    dtype: str | None,
    layout: Layout,
) -> Job:
    config = read_config(checkpoint.folder)
    tensors = open_source(checkpoint.folder, config)
    missing = first_missing(checkpoint.folder)
    if missing is not None:
        raise ConversionError(
            f"{checkpoint.folder} has no {missing}, without which the result could not be used."
        )
    tied = parse_config(config).tie_word_embeddings
    decided = plan(tensors.tensors, tied=tied, recipe=recipe, dtype=dtype, layout=layout)
    return Job(checkpoint, config, tensors, recipe, dtype, decided)


def _carry_out(
    job: Job,
    target: Destination,
    verify: Verifier | None,
    force: bool,
    on_progress: OnProgress | None,
) -> Manifest:
    """Write, verify and put in place; on the MLX thread, which calls this."""
    source = job.checkpoint.folder
    carried = carried_files(source)
    target.check_space(job.plan.n_bytes + sum(path.stat().st_size for path in carried))
    if job.plan.leaves_out(HEAD):
        check_tied_head(job.tensors)
    with target.filled() as folder:
        hashed = hash_files(job.tensors.paths, _counter("hash", job.source_bytes, on_progress))
        kept_bytes = sum(fate.source_bytes for fate in job.plan.fates if fate.stored)
        count = _counter("write", kept_bytes, on_progress)
        write_weights(folder, shards(job.plan), job.tensors, count)
        write_config(folder, converted_config(job.config, job.plan, job.dtype))
        for path in carried:
            shutil.copyfile(path, folder / path.name)
        verdict = verify(job.checkpoint, folder) if verify is not None else None
        if verdict is not None and verdict.exceeded and not force:
            raise BeyondLimitsError(verdict)
        manifest = _manifest(job, hashed, verdict)
        manifest.write(folder)
        write_card(folder, manifest, source)
    return manifest


def _counter(stage: str, total_bytes: int, on_progress: OnProgress | None) -> Callable[[int], None]:
    """Adds up bytes and reports the sum; stops the work where the caller no longer waits."""
    done_bytes, show = 0, on_progress or _show_nothing

    def count(n_bytes: int) -> None:
        nonlocal done_bytes
        shared_thread().checkpoint()
        done_bytes += n_bytes
        show(stage, done_bytes, total_bytes)

    return count


def _show_nothing(stage: str, done_bytes: int, total_bytes: int) -> None:
    pass


def _manifest(job: Job, hashed: tuple[WeightFile, ...], verdict: Verdict | None) -> Manifest:
    checkpoint, decided = job.checkpoint, job.plan
    return Manifest(
        source=Source(checkpoint.model_id, checkpoint.revision, hashed),
        recipe=None if job.recipe is None else job.recipe.to_record(),
        dtype=job.dtype,
        layout=decided.layout.name,
        versions=versions(),
        source_bytes=job.source_bytes,
        n_bytes=decided.n_bytes,
        n_quantised=len(decided.quantised),
        unused_patterns=decided.unused_patterns,
        kept_floating={fate.module: fate.reason for fate in decided.misfits},
        verification=None if verdict is None else verdict.figures,
        exceeded=() if verdict is None else verdict.exceeded,
    )
