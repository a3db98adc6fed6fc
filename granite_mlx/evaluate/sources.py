"""From the command's SOURCE to rows: which of the readers it is for."""

from __future__ import annotations

from pathlib import Path

from granite_mlx.evaluate.errors import EvaluationError
from granite_mlx.evaluate.folders import is_librispeech, read_librispeech, read_pairs
from granite_mlx.evaluate.hub import is_saved_dataset, read_dataset
from granite_mlx.evaluate.manifests import SUFFIXES, read_manifest
from granite_mlx.evaluate.rows import Defaults, Row, Source, completed


def read_source(argument: str, defaults: Defaults) -> Source:
    """The rows of a manifest, a folder, or a data set by its name.

    Raises:
        EvaluationError: it cannot be found or read; the message says where and what to do.
    """
    rows, notes = _read(argument)
    return completed(argument, rows, notes, defaults)


def _read(argument: str) -> tuple[list[Row], list[str]]:
    path = Path(argument).expanduser()
    if path.is_dir():
        return _read_folder(argument, path)
    if path.exists():
        if path.suffix.lower() not in SUFFIXES:
            raise EvaluationError(
                f"{argument} is no manifest; its name must end in {', '.join(SUFFIXES)}."
            )
        return read_manifest(path)
    is_folder_with_config = Path(argument.partition(":")[0]).is_dir()
    looks_like_path = path.suffix.lower() in SUFFIXES or argument.startswith(("/", ".", "~"))
    if looks_like_path and not is_folder_with_config:
        raise EvaluationError(f"there is no file or folder {argument}.")
    return read_dataset(argument)


def _read_folder(argument: str, folder: Path) -> tuple[list[Row], list[str]]:
    if is_saved_dataset(folder):
        return read_dataset(argument)
    if is_librispeech(folder):
        return read_librispeech(folder), []
    if rows := read_pairs(folder):
        return rows, []
    if next(folder.rglob("*.parquet"), None) is not None:
        return read_dataset(argument)
    raise EvaluationError(
        f"{argument} holds nothing to evaluate: no *.trans.txt as LibriSpeech has, no NAME.txt "
        "beside a recording, and no data set."
    )
