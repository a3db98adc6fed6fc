"""From a checkpoint to a converted one: the whole path, in the order in which it happens."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from granite_mlx.audio.features import read_feature_config
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
    Origin,
    WeightFile,
    file_sizes,
    hash_files,
    versions,
)
from granite_mlx.convert.plan import HEAD, Plan, plan
from granite_mlx.convert.recipes import Limits, Recipe, read_recipe
from granite_mlx.convert.source import (
    DequantisedTensors,
    OpenSource,
    open_floating,
    open_quantised,
)
from granite_mlx.convert.stream import shards, write_weights
from granite_mlx.decoding.tokenizer import read_tokenizer
from granite_mlx.engine import shared_thread
from granite_mlx.errors import CheckpointError, ConversionError
from granite_mlx.model.checkpoint import DEMO, Checkpoint, find_checkpoint
from granite_mlx.model.config import parse_config
from granite_mlx.model.family import FAMILY_KEY, Family, checkpoint_family, checkpoint_name
from granite_mlx.model.folder import first_missing, has_adapter, read_config
from granite_mlx.model.stored import TensorSource, check_tied_head
from granite_mlx.model.weights import DTYPES

OnStage = Callable[[str, int, int], None]
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
            "--accept-loss (in Python accept_loss=True) to keep it."
        )
        self.verdict = verdict


class Verifier(Protocol):
    """Compares a conversion with its source."""

    def prepare(self, source: Checkpoint) -> None:
        """Raise what would end the comparison, as far as that shows before the conversion."""
        ...

    def __call__(self, source: Checkpoint, converted: Path, limits: Limits | None) -> Verdict:
        """Compare the two. `limits` are those of the recipe, if it has any."""
        ...


@dataclass(frozen=True)
class Job:
    """A conversion of which everything is decided and nothing is done.

    Attributes:
        config: the content of the source's config.json.
        warnings: what the caller should know of the source.
    """

    checkpoint: Checkpoint
    config: Mapping[str, Any]
    family: Family
    tensors: TensorSource
    recipe: Recipe | None
    dtype: str | None
    plan: Plan
    warnings: tuple[str, ...] = ()

    @property
    def source_bytes(self) -> int:
        """Bytes of the source's weights as they lie in its files."""
        return sum(path.stat().st_size for path in self.tensors.paths)


def convert(
    source: str | os.PathLike[str] | Checkpoint | None,
    destination: str | os.PathLike[str],
    *,
    recipe: Recipe | str | os.PathLike[str] | None = None,
    dtype: str | None = None,
    dequantise: bool = False,
    revision: str | None = None,
    force: bool = False,
    accept_loss: bool = False,
    layout: str = "granite-mlx",
    verify: Verifier | None = None,
    on_progress: OnStage | None = None,
) -> Manifest:
    """Convert a checkpoint into a new folder, which is there whole or not at all.

    Args:
        source: a hub id, a folder or "demo", as for `granite_mlx.load`; or a checkpoint that has
            been found, which is taken as it lies, with nothing fetched.
        destination: the folder to make, with those above it.
        recipe: a name of `granite_mlx.convert.recipes.RECIPES`, a TOML file or a Recipe; None
            quantises nothing.
        dtype: "float32", "float16" or "bfloat16" of what stays floating; None keeps it.
        dequantise: make floating matrices of a quantised source's.
        revision: branch, tag or commit of a hub id.
        force: replace an earlier conversion at the destination once the new one is whole.
        accept_loss: keep a result whose figures exceed the recipe's limits; needs `verify`.
        layout: "granite-mlx", or "mlx-audio" for a result that mlx-audio loads.
        verify: compares the result with its source before it takes its place, and holds what it
            finds against the recipe's limits; None does not. `verifier()` makes one.
        on_progress: called with (what is done, bytes done, bytes in all), not always on the
            caller's thread. What it raises ends the conversion.

    Returns:
        What the result's granite_mlx.json holds.

    Raises:
        ConversionError: the recipe, the source or the destination cannot be used, the disk is
            full, or the result exceeds the recipe's limits.
        CheckpointError: the source cannot be found, fetched or read.
        ValueError: an unknown dtype or layout, or accept_loss without verify.
    """
    if accept_loss and verify is None:
        raise ValueError("accept_loss is of no use without verify, which finds what is lost.")
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
    warnings: list[str] = []
    if not isinstance(source, Checkpoint):
        warnings += fetch_carried(job.checkpoint, partial(on_progress or _show_nothing, "download"))
    job = replace(job, warnings=tuple(warnings))
    return shared_thread().run(_carry_out, job, target, verify, accept_loss, on_progress)


def prepare(
    source: str | os.PathLike[str] | Checkpoint | None,
    *,
    recipe: Recipe | str | os.PathLike[str] | None = None,
    dtype: str | None = None,
    dequantise: bool = False,
    revision: str | None = None,
    layout: str = "granite-mlx",
    on_progress: OnStage | None = None,
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
    if isinstance(source, Checkpoint):
        checkpoint = source
    else:
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
    parsed = parse_config(config)
    read_tokenizer(checkpoint.folder, parsed)  # which is carried over: a damaged one ends it here
    read_feature_config(checkpoint.folder)
    family = checkpoint_family(checkpoint.folder, config, parsed)
    tied = parsed.tie_word_embeddings
    decided = plan(tensors.tensors, tied=tied, recipe=recipe, dtype=dtype, layout=layout)
    return Job(checkpoint, config, family, tensors, recipe, dtype, decided)


def _carry_out(
    job: Job,
    target: Destination,
    verify: Verifier | None,
    accept_loss: bool,
    on_progress: OnStage | None,
) -> Manifest:
    """Write, verify and put in place; on the MLX thread, which calls this."""
    source = job.checkpoint.folder
    carried = carried_files(source)
    target.check_space(job.plan.n_bytes + sum(path.stat().st_size for path in carried))
    if job.plan.leaves_out(HEAD):
        check_tied_head(job.tensors)
    config = converted_config(job.config, job.plan, job.dtype)
    if verify is not None:
        verify.prepare(job.checkpoint)
    states = _states(job.tensors.paths)
    with target.filled() as folder:
        hashed = hash_files(job.tensors.paths, _counter("hash", job.source_bytes, on_progress))
        kept_bytes = sum(fate.source_bytes for fate in job.plan.fates if fate.stored)
        count = _counter("write", kept_bytes, on_progress)
        write_weights(folder, shards(job.plan), job.tensors, count)
        if _states(job.tensors.paths) != states:
            raise CheckpointError(
                f"{source} has changed while it was converted; start again once it is whole."
            )
        write_config(folder, config | {FAMILY_KEY: job.family})
        for path in carried:
            shutil.copyfile(path, folder / path.name)
        verdict = None
        if verify is not None:
            limits = None if job.recipe is None else job.recipe.limits
            verdict = verify(job.checkpoint, folder, limits)
            if verdict.exceeded and not accept_loss:
                raise BeyondLimitsError(verdict)
        manifest = _manifest(job, hashed, file_sizes(folder), verdict)
        manifest.write(folder)
        write_card(folder, manifest, source)
    return manifest


def _states(paths: Sequence[Path]) -> list[tuple[int, int]]:
    """Size and time of each file; -1 where it is gone."""
    return [
        (path.stat().st_size, path.stat().st_mtime_ns) if path.is_file() else (-1, -1)
        for path in paths
    ]


def _counter(stage: str, total_bytes: int, on_progress: OnStage | None) -> Callable[[int], None]:
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


def _manifest(
    job: Job,
    hashed: tuple[WeightFile, ...],
    files: Mapping[str, int],
    verdict: Verdict | None,
) -> Manifest:
    checkpoint, decided = job.checkpoint, job.plan
    return Manifest(
        source=Origin(_public_name(checkpoint), checkpoint.revision, hashed),
        family=job.family,
        dequantised=isinstance(job.tensors, DequantisedTensors),
        merged_adapter=has_adapter(checkpoint.folder),
        recipe=None if job.recipe is None else job.recipe.to_record(),
        dtype=job.dtype,
        layout=decided.layout.name,
        versions=versions(),
        source_bytes=job.source_bytes,
        n_bytes=sum(files[shard.file_name] for shard in shards(decided)),
        n_quantised=len(decided.quantised),
        kept_floating={fate.module: fate.reason for fate in decided.misfits},
        files=files,
        unused_patterns=decided.unused_patterns,
        verification=None if verdict is None else verdict.figures,
        exceeded=() if verdict is None else verdict.exceeded,
        warnings=job.warnings,
    )


def _public_name(checkpoint: Checkpoint) -> str:
    """The source's name without the place where it lies: a result may be uploaded."""
    is_folder = checkpoint.revision is None and checkpoint.model_id != DEMO
    return checkpoint_name(checkpoint.folder) if is_folder else checkpoint.model_id
