"""Where a checkpoint's files are: the packaged demo, a folder, or the Hugging Face cache.

Offline first: what is complete in the cache is used without a network call, and so stays at the
commit that was downloaded. Only what is missing is fetched. huggingface_hub is imported where it is
used, because most commands never need it.
"""

from __future__ import annotations

import errno
import json
import logging
import os
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from granite_mlx.errors import CheckpointError
from granite_mlx.model.config import parse_config
from granite_mlx.model.shards import INDEX_NAME

DEFAULT_MODEL = "ibm-granite/granite-4.0-1b-speech"
MODEL_VARIABLE = "GRANITE_MLX_MODEL"
DEMO = "demo"
DEMO_FOLDER = Path(__file__).resolve().parent.parent / "demo_checkpoint"

CONFIG_NAME = "config.json"
TOKENIZER_NAME = "tokenizer.json"
WEIGHTS_NAME = "model.safetensors"
NEEDED = (
    CONFIG_NAME,
    TOKENIZER_NAME,
    "generation_config.json",
    "tokenizer_config.json",
    "chat_template.jinja",
    "chat_template.json",
    "preprocessor_config.json",
    "processor_config.json",
    INDEX_NAME,
    "model*.safetensors",
)
"""Patterns of the files that are fetched; everything else of a repository stays where it is."""

WORKING_BYTES = 1 << 30
"""What a transcription takes beside the weights."""

GIB = 1 << 30

ProgressCallback = Callable[[int, int], None]


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
    folder = _find_cached(name, revision) or _download(name, revision, on_progress)
    return Checkpoint(folder, name, revision=folder.name)


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
        return Path(path)
    if os.path.exists(path):
        raise CheckpointError(f"{name} is a file; give the folder that holds config.json.")
    if isinstance(model, str):
        base, colon, _ = name.partition(":")
        if colon and (base == DEMO or os.path.isdir(os.path.expanduser(base)) or _is_hub_id(base)):
            raise CheckpointError(
                f"{name!r} asks for a quantised copy, which a later version will make; "
                f"for now use {base!r}."
            )
        if _is_hub_id(name):
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
    return folder if _first_missing(folder) is None else None


def _first_missing(folder: Path) -> str | None:
    """Name of the first file that a complete checkpoint needs and `folder` lacks."""
    for name in (CONFIG_NAME, TOKENIZER_NAME, *_weight_names(folder)):
        if not (folder / name).is_file():
            return name
    return None if _find_chat_template(folder) is not None else "chat_template.jinja"


def _weight_names(folder: Path) -> list[str]:
    if not (folder / INDEX_NAME).is_file():
        return [WEIGHTS_NAME]
    weight_map = _read_object(folder / INDEX_NAME).get("weight_map")
    # A weight_map that makes no sense is for granite_mlx.model.shards to report.
    return sorted({str(n) for n in weight_map.values()}) if isinstance(weight_map, dict) else []


def _download(model_id: str, revision: str | None, on_progress: ProgressCallback | None) -> Path:
    """Fetch the files that the cache lacks; returns their folder.

    The small files come first: they tell whether the model can be used at all.
    """
    with _quiet_hub():
        sizes = _list_files(model_id, revision)
        _check_disk(model_id, revision, sizes)
        progress = _Progress(sum(sizes.values()), on_progress)
        weights = {name: size for name, size in sizes.items() if name.endswith(".safetensors")}
        others = {name: size for name, size in sizes.items() if name not in weights}
        folder = _fetch(model_id, others, revision, progress)
        parse_config(read_config(folder))
        read_chat_template(folder)
        _fetch(model_id, weights, folder.name, progress)
    missing = _first_missing(folder)
    if missing is not None:
        raise CheckpointError(f"{model_id} has no {missing} on the hub and cannot be used.")
    return folder


def _list_files(model_id: str, revision: str | None) -> dict[str, int]:
    """Names of the needed files on the hub and their sizes in bytes."""
    from huggingface_hub import HfApi, constants

    try:
        # Unlike a file's own request this one is not repeated, so that being offline shows at once.
        info = HfApi().model_info(model_id, revision=revision, files_metadata=True)
    except Exception as error:  # the errors of httpx, the hub and its parser share no other base
        otherwise = (
            f"it is not complete in the cache ({constants.HF_HUB_CACHE}), and {constants.ENDPOINT} "
            f"is out of reach ({_brief(error)}); connect once to download it, or give its folder."
        )
        raise _hub_error(error, model_id, revision, otherwise) from error
    sizes = {
        file.rfilename: file.size or 0
        for file in info.siblings or ()
        if "/" not in file.rfilename and any(fnmatch(file.rfilename, p) for p in NEEDED)
    }
    if not any(name.endswith(".safetensors") for name in sizes):
        raise CheckpointError(
            f"{model_id} has no safetensors weights on the hub; other formats are not read."
        )
    for name in (CONFIG_NAME, TOKENIZER_NAME):
        if name not in sizes:
            raise CheckpointError(f"{model_id} has no {name} on the hub and cannot be used.")
    return sizes


def _fetch(
    model_id: str, sizes: Mapping[str, int], revision: str | None, progress: _Progress
) -> Path:
    """Fetch files one after the other on the caller's thread; returns their folder.

    So Ctrl-C ends the file at hand at once, and only that one has to be fetched again;
    huggingface_hub's snapshot_download would wait for the threads that fetch all the others.
    """
    from huggingface_hub import hf_hub_download

    for name, size in sizes.items():
        bar = _silent_bar_class(progress)
        try:
            path = hf_hub_download(model_id, name, revision=revision, tqdm_class=bar)
        except Exception as error:
            if error is progress.failure:
                raise
            otherwise = (
                f"the download of {name} broke off ({_brief(error)}); "
                "start it again, complete files are kept."
            )
            raise _hub_error(error, model_id, revision, otherwise) from error
        progress.finish_file(size)
        folder = Path(path).parent
        revision = folder.name  # the first file settles the commit, should the branch move
    return folder


def _hub_error(
    error: Exception, model_id: str, revision: str | None, otherwise: str
) -> CheckpointError:
    """What went wrong at the hub, in one sentence; `otherwise` says it for all other causes."""
    from huggingface_hub import constants
    from huggingface_hub.errors import (
        GatedRepoError,
        HfHubHTTPError,
        LocalEntryNotFoundError,
        OfflineModeIsEnabled,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    if isinstance(error, LocalEntryNotFoundError) and isinstance(error.__cause__, Exception):
        error = error.__cause__  # "not in the cache either" hides what the hub answered
    cache, page = constants.HF_HUB_CACHE, f"{constants.ENDPOINT}/{model_id}"
    if isinstance(error, OfflineModeIsEnabled):
        text = (
            f"it is not complete in the cache ({cache}), and HF_HUB_OFFLINE is set; "
            "unset that once to download it, or give its folder."
        )
    elif isinstance(error, GatedRepoError):  # a kind of RepositoryNotFoundError: goes first
        text = f"the model is gated; accept its terms at {page} and log in with `hf auth login`."
    elif isinstance(error, RepositoryNotFoundError):
        text = (
            "neither a folder nor a model of the hub has this name; check its spelling, "
            "or log in with `hf auth login` if the model is private."
        )
    elif isinstance(error, RevisionNotFoundError):
        text = f"there is no revision {revision!r}; {page}/tree/main lists branches and tags."
    elif isinstance(error, HfHubHTTPError) and error.response.status_code in (401, 403):
        text = (
            f"the hub refuses access (HTTP {error.response.status_code}); "
            "log in with `hf auth login`, with a token that may read the model."
        )
    elif isinstance(error, HfHubHTTPError):
        text = (
            f"the hub answered with HTTP {error.response.status_code}; "
            "try again later, complete files are kept."
        )
    elif isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        text = f"the disk that holds {cache} is full; make room, or set HF_HOME to another disk."
    else:
        text = otherwise
    return CheckpointError(f"{model_id}: {text}")


def _brief(error: Exception) -> str:
    """The first line of an error, with its kind where it says nothing else."""
    lines = str(error).splitlines()
    return lines[0] if lines else type(error).__name__


def _check_disk(model_id: str, revision: str | None, sizes: Mapping[str, int]) -> None:
    from huggingface_hub import constants, try_to_load_from_cache

    cache = Path(constants.HF_HUB_CACHE)
    place = next(path for path in (cache, *cache.parents) if path.exists())
    needed = sum(
        size
        for name, size in sizes.items()
        if not isinstance(try_to_load_from_cache(model_id, name, revision=revision), str)
    )
    free = shutil.disk_usage(place).free
    if needed > free:
        raise CheckpointError(
            f"{model_id}: the download needs {needed / 1e9:.1f} GB, but the disk that holds "
            f"{cache} has {free / 1e9:.1f} GB free; make room, or set HF_HOME to another disk."
        )


@contextmanager
def _quiet_hub() -> Iterator[None]:
    """Keep huggingface_hub's warnings off the screen, unless the user set it to say more."""
    logger = logging.getLogger("huggingface_hub")
    level = logger.level
    if level in (logging.NOTSET, logging.WARNING):
        logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)


class _Progress:
    """Adds up the bytes of all files and passes the sum on; it never falls.

    What the callback raises is kept until `raise_failure`: Xet counts on a thread of its own, and
    prints exceptions instead of stopping.
    """

    def __init__(self, total_bytes: int, on_progress: ProgressCallback | None) -> None:
        self.failure: BaseException | None = None
        self._total_bytes = total_bytes
        self._on_progress = on_progress
        self._finished_bytes = 0  # of the files before the one at hand
        self._reported_bytes = -1
        self.in_file(0)

    def in_file(self, n_bytes: int) -> None:
        """Report with `n_bytes` of the file at hand."""
        done = min(self._finished_bytes + n_bytes, self._total_bytes)
        if self._on_progress is None or self.failure is not None or done <= self._reported_bytes:
            return
        self._reported_bytes = done
        try:
            self._on_progress(done, self._total_bytes)
        except BaseException as error:
            self.failure = error

    def finish_file(self, size_bytes: int) -> None:
        """Count a file as done, also one that was there already."""
        self._finished_bytes += size_bytes
        self.in_file(0)
        self.raise_failure()

    def raise_failure(self) -> None:
        """Raise what the callback raised."""
        if self.failure is not None:
            raise self.failure


def _silent_bar_class(progress: _Progress) -> type:
    """A progress bar for huggingface_hub that draws nothing and counts into `progress`."""
    from huggingface_hub.utils import tqdm  # type: ignore[attr-defined]

    class SilentBar(tqdm):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(disable=True, initial=kwargs.get("initial", 0))
            self.may_raise = kwargs.get("name") == "huggingface_hub.http_get"

        def update(self, n: float | None = 1) -> None:
            self.n += n or 0  # negative when a broken download starts again from the beginning
            progress.in_file(int(self.n))
            if self.may_raise:
                progress.raise_failure()

        # With this method Xet needs no second bar for what has come over the network.
        def update_transfer(self, n: float | None = 1) -> None:
            pass

        def set_transfer_postfix_str(self, *args: Any, **kwargs: Any) -> None:
            pass

    return SilentBar


def read_config(folder: Path) -> dict[str, Any]:
    """The content of config.json.

    Raises:
        CheckpointError: it is missing, not JSON, or not an object.
    """
    return _read_object(folder / CONFIG_NAME)


def read_chat_template(folder: Path) -> str:
    """The checkpoint's chat template, from whichever of its three places holds one.

    Raises:
        CheckpointError: there is none, or its file cannot be read.
    """
    template = _find_chat_template(folder)
    if template is None:
        raise CheckpointError(
            f"{folder} has no chat template; it needs chat_template.jinja, chat_template.json or "
            "a chat_template in tokenizer_config.json."
        )
    return template


def _find_chat_template(folder: Path) -> str | None:
    if (folder / "chat_template.jinja").is_file():
        return _read_text(folder / "chat_template.jinja")
    for name in ("chat_template.json", "tokenizer_config.json"):
        if (folder / name).is_file():
            template = _read_object(folder / name).get("chat_template")
            if isinstance(template, list):
                template = _default_template(template)
            if isinstance(template, str):
                return template
    return None


def _default_template(templates: list[Any]) -> Any:
    """The template named "default" of a list of {"name": ..., "template": ...}."""
    named = [entry for entry in templates if isinstance(entry, dict)]
    return next((entry.get("template") for entry in named if entry.get("name") == "default"), None)


def _read_object(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(_read_text(path))
    except json.JSONDecodeError as error:
        raise CheckpointError(f"{path} is not valid JSON ({error}); fetch it again.") from error
    if not isinstance(content, dict):
        raise CheckpointError(f"{path} holds no JSON object; fetch it again.")
    return content


def _read_text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise CheckpointError(
            f"{path} is missing; give the folder of a whole Granite Speech checkpoint."
        ) from error
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read ({error.strerror}).") from error
    except UnicodeDecodeError as error:
        raise CheckpointError(f"{path} is not UTF-8 text ({error}); fetch it again.") from error


def check_memory(needed_bytes: int, model_id: str) -> None:
    """Refuse weights of `needed_bytes` that this machine cannot hold with room to work.

    Raises:
        CheckpointError: naming what is needed and what there is.
    """
    wanted, available = needed_bytes + WORKING_BYTES, _available_bytes()
    if wanted > available:
        raise CheckpointError(
            f"{model_id} needs {wanted / GIB:.1f} GB of memory ({needed_bytes / GIB:.1f} GB for "
            f"weights), but this machine has {available / GIB:.1f} GB{_gpu_share()}; close other "
            "programs, or use a smaller dtype or a machine with more memory."
        )


def _available_bytes() -> int:
    """All memory of a Mac, which makes room by itself; on Linux what is free without swapping."""
    if (metal := _metal_info()) is not None:
        return int(metal["memory_size"])
    if sys.platform == "linux":
        for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _gpu_share() -> str:
    """What Metal recommends for one program; beyond it a Mac slows down before it fails."""
    metal = _metal_info()
    if metal is None:
        return " available"
    share = int(metal["max_recommended_working_set_size"])
    return f", of which the GPU should hold at most {share / GIB:.1f} GB"


def _metal_info() -> Mapping[str, str | int] | None:
    import mlx.core as mx

    return mx.device_info() if mx.metal.is_available() else None
