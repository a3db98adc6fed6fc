"""Fetching a checkpoint from the Hugging Face hub into its cache.

huggingface_hub is imported where it is used, because most commands never need it.
"""

from __future__ import annotations

import errno
import logging
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from granite_mlx.errors import CheckpointError
from granite_mlx.model.adapter_config import parse_adapter_config
from granite_mlx.model.config import parse_config
from granite_mlx.model.family import SECOND_HEAD_NAME
from granite_mlx.model.folder import (
    ADAPTER_CONFIG_NAME,
    ADAPTER_WEIGHTS_NAME,
    CONFIG_NAME,
    TOKENIZER_NAME,
    first_missing,
    has_adapter,
    read_adapter_config,
    read_chat_template,
    read_config,
)
from granite_mlx.model.shards import INDEX_NAME

_WEIGHTS = "model*.safetensors"

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
    _WEIGHTS,
    ADAPTER_CONFIG_NAME,
    ADAPTER_WEIGHTS_NAME,
    SECOND_HEAD_NAME,
)
"""Patterns of the files that are fetched; everything else of a repository stays where it is."""

ProgressCallback = Callable[[int, int], None]


def download(model_id: str, revision: str | None, on_progress: ProgressCallback | None) -> Path:
    """Fetch the files of a speech model that the cache lacks; returns their folder."""

    def check(folder: Path) -> None:
        parse_config(read_config(folder))
        if has_adapter(folder):
            parse_adapter_config(read_adapter_config(folder))
        read_chat_template(folder)

    names = (CONFIG_NAME, TOKENIZER_NAME)
    folder = download_checked(model_id, revision, NEEDED, names, check, on_progress)
    missing = first_missing(folder)
    if missing is not None:
        raise CheckpointError(f"{model_id} has no {missing} on the hub and cannot be used.")
    return folder


def download_checked(
    model_id: str,
    revision: str | None,
    patterns: Sequence[str],
    names: Sequence[str],
    check: Callable[[Path], object],
    on_progress: ProgressCallback | None,
) -> Path:
    """Fetch the files of any model that the cache lacks; returns their folder.

    The small files come first: `check` tells by them whether the model can be used at all.

    Args:
        patterns: of the files that are fetched.
        names: of the files without which there is no model.
    """
    with _quiet_hub():
        sizes = _list_files(model_id, revision, patterns)
        _check_names(model_id, sizes, names)
        _check_disk(model_id, revision, sizes)
        progress = _Progress(sum(sizes.values()), on_progress)
        weights = {name: size for name, size in sizes.items() if name.endswith(".safetensors")}
        others = {name: size for name, size in sizes.items() if name not in weights}
        folder = _fetch(model_id, others, revision, progress)
        check(folder)
        _fetch(model_id, weights, folder.name, progress)
    return folder


def download_besides(
    model_id: str, commit: str, names: Sequence[str], on_progress: ProgressCallback | None
) -> None:
    """Fetch what a commit, which is in the cache already, has of more files.

    What it has not is noted in the cache, so that the hub need not be asked again.

    Raises:
        CheckpointError: the hub is out of reach, or a download broke off.
    """
    from huggingface_hub import try_to_load_from_cache

    unknown = [n for n in names if try_to_load_from_cache(model_id, n, revision=commit) is None]
    if not unknown:
        return
    with _quiet_hub():
        sizes = _list_files(model_id, commit, unknown)
        if sizes:
            _check_disk(model_id, commit, sizes)
            _fetch(model_id, sizes, commit, _Progress(sum(sizes.values()), on_progress))
    _note_absent(model_id, commit, [name for name in unknown if name not in sizes])


def _note_absent(model_id: str, commit: str, names: Sequence[str]) -> None:
    """Note in the cache, where huggingface_hub does, that a commit lacks these files.

    https://huggingface.co/docs/huggingface_hub/guides/manage-cache#the-noexist-folder
    """
    from huggingface_hub import constants
    from huggingface_hub.file_download import repo_folder_name

    place = Path(constants.HF_HUB_CACHE, repo_folder_name(repo_id=model_id, repo_type="model"))
    with suppress(OSError):  # it only saves a question
        (place / ".no_exist" / commit).mkdir(parents=True, exist_ok=True)
        for name in names:
            (place / ".no_exist" / commit / name).touch()


def _list_files(model_id: str, revision: str | None, patterns: Sequence[str]) -> dict[str, int]:
    """Names of the files on the hub that are wanted, and their sizes in bytes."""
    from huggingface_hub import HfApi, constants

    try:
        # Unlike a file's own request this one is not repeated, so that being offline shows at once.
        info = HfApi().model_info(
            model_id,
            revision=revision,
            files_metadata=True,
            timeout=constants.HF_HUB_ETAG_TIMEOUT,  # without one, a silent hub is waited for
        )
    except Exception as error:  # the errors of httpx, the hub and its parser share no other base
        otherwise = (
            f"it is not complete in the cache ({constants.HF_HUB_CACHE}), and {constants.ENDPOINT} "
            f"is out of reach ({brief(error)}); connect once to download it, or give its folder."
        )
        raise _hub_error(error, model_id, revision, otherwise) from error
    return {
        file.rfilename: file.size or 0
        for file in info.siblings or ()
        if "/" not in file.rfilename and any(fnmatch(file.rfilename, p) for p in patterns)
    }


def _check_names(model_id: str, sizes: Mapping[str, int], names: Sequence[str]) -> None:
    """Refuse a repository that can hold no whole checkpoint."""
    if not any(fnmatch(name, _WEIGHTS) for name in sizes):
        raise CheckpointError(
            f"{model_id} has no safetensors weights on the hub; other formats are not read."
        )
    for name in names:
        if name not in sizes:
            raise CheckpointError(f"{model_id} has no {name} on the hub and cannot be used.")


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
                f"the download of {name} broke off ({brief(error)}); "
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


def brief(error: Exception) -> str:
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
