"""Where a checkpoint's files are: the packaged demo, a folder, or the Hugging Face cache.

Offline first: what is complete in the cache is used without a network call, and so stays at the
commit that was downloaded. Only what is missing is fetched.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from granite_mlx.errors import CheckpointError
from granite_mlx.model.folder import CONFIG_NAME, first_missing
from granite_mlx.model.hub import ProgressCallback, download
from granite_mlx.model.shards import check_utf_8

DEFAULT_MODEL = "ibm-granite/granite-4.0-1b-speech"
MODEL_VARIABLE = "GRANITE_MLX_MODEL"
DEMO = "demo"
DEMO_FOLDER = Path(__file__).resolve().parent.parent / "demo_checkpoint"


@dataclass(frozen=True)
class Checkpoint:
    """A folder that holds config.json, tokenizer.json, the weights and the chat template.

    `model_id` is "demo", the hub id, or the folder as the user gave it; `revision` is the commit
    of a hub checkpoint and None for the others.
    """

    folder: Path
    model_id: str
    revision: str | None


def find_checkpoint(
    model: str | os.PathLike[str] | None,
    revision: str | None = None,
    on_progress: ProgressCallback | None = None,
) -> Checkpoint:
    """Find a checkpoint, and download what the cache lacks of it.

    Args:
        model: "demo", a folder, or a hub id such as ibm-granite/granite-4.0-1b-speech. None takes
            the environment's GRANITE_MLX_MODEL, or else `DEFAULT_MODEL`.
        revision: branch, tag or commit of a hub id.
        on_progress: called during a download with (bytes done, bytes in all), not always from the
            caller's thread. An exception that it raises ends the download and reaches the caller;
            over Xet, Hugging Face's own protocol, as soon as the file at hand is complete.

    Raises:
        CheckpointError: there is no such checkpoint, or it cannot be fetched.
        UnsupportedModelError: the hub's checkpoint is of a kind that granite-mlx does not compute;
            its weights have not been downloaded.
        TypeError: `model` is neither a string nor a path.
        ValueError: `revision` together with a folder or "demo".
    """
    if model is None:
        model = os.environ.get(MODEL_VARIABLE) or DEFAULT_MODEL
    if not isinstance(model, (str, os.PathLike)):
        raise TypeError(f"model must be a hub id, a folder or 'demo', not {type(model).__name__}.")
    name, folder = os.fspath(model), _local_folder(model)
    if folder is not None:
        if revision is not None:
            raise ValueError(f"revision is for models of the hub, but {name!r} is a local one.")
        return Checkpoint(folder, name, revision=None)
    folder = _find_cached(name, revision) or download(name, revision, on_progress)
    return Checkpoint(folder, name, revision=folder.name)


def split_recipe(model: str | os.PathLike[str] | None) -> tuple[str, str] | None:
    """("demo", "q8") of "demo:q8"; None for a model without a recipe behind it.

    A folder whose own name has a colon in it is a folder.
    """
    if model is None:
        model = os.environ.get(MODEL_VARIABLE) or DEFAULT_MODEL
    if not isinstance(model, str) or os.path.exists(os.path.expanduser(model)):
        return None
    base, colon, recipe = model.rpartition(":")
    known = base == DEMO or os.path.isdir(os.path.expanduser(base)) or _is_hub_id(base)
    return (base, recipe) if colon and known else None


def is_local_or_cached(model: str, revision: str | None) -> bool:
    """Whether a checkpoint is here as a whole; makes no network call."""
    return _local_folder(model) is not None or _find_cached(model, revision) is not None


def _local_folder(model: str | os.PathLike[str]) -> Path | None:
    """The folder that `model` names, or None for a hub id."""
    name = os.fspath(model)
    if model == DEMO:
        if not (DEMO_FOLDER / CONFIG_NAME).is_file():
            raise CheckpointError(
                f"the demo checkpoint is missing from {DEMO_FOLDER}; install granite-mlx again."
            )
        return DEMO_FOLDER
    path = os.path.expanduser(name)
    if os.path.isdir(path):
        check_utf_8(path)
        return Path(path)
    if os.path.exists(path):
        raise CheckpointError(f"{name} is a file; give the folder that holds config.json.")
    if os.path.islink(path):
        raise CheckpointError(f"{name} is a link that leads nowhere; give the checkpoint's folder.")
    if isinstance(model, str) and _is_hub_id(name):
        return None
    raise CheckpointError(
        f"there is no folder {name!r}, and it is not a model id of the hub such as {DEFAULT_MODEL}."
    )


def _is_hub_id(name: str) -> bool:
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id  # type: ignore[attr-defined]

    try:
        validate_repo_id(name)
    except HFValidationError:
        return False
    return name.count("/") == 1  # the hub's few old ids without an owner are no speech models


def _find_cached(model_id: str, revision: str | None) -> Path | None:
    """The cache's folder of this model if all that is needed is there; makes no network call."""
    from huggingface_hub import try_to_load_from_cache

    config = try_to_load_from_cache(model_id, CONFIG_NAME, revision=revision)
    if not isinstance(config, str):
        return None
    folder = Path(config).parent
    return folder if first_missing(folder) is None else None
