"""Where a text model's files are, and whether they are data alone: safetensors and no code.

mlx-lm runs a Python file that config.json names (`model_file`) if it is told to trust it, and
transformers one that tokenizer_config.json names (`auto_map`). We never trust; what would need it
is refused before anything is read. Python files and pickles that lie about are neither fetched nor
opened.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

from granite_mlx.errors import CheckpointError
from granite_mlx.model.folder import (
    CONFIG_NAME,
    TOKENIZER_CONFIG_NAME,
    TOKENIZER_NAME,
    read_object,
)
from granite_mlx.model.hub import ProgressCallback, download_checked
from granite_mlx.model.shards import INDEX_NAME

DEFAULT_TEXT_MODEL = "ibm-granite/granite-4.0-h-micro"
TEXT_MODEL_VARIABLE = "GRANITE_MLX_TEXT_MODEL"

WEIGHTS = "model*.safetensors"
PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl", "*.pickle")
SHARD = re.compile(r"-of-(\d+)\.")
TOKENIZERS = (TOKENIZER_NAME, "tokenizer.model")
FETCHED = ("*.json", "*.jinja", "*.txt", "*.tiktoken", "tokenizer.model", "tiktoken.model", WEIGHTS)


def find_text_model(
    model: str | os.PathLike[str] | None,
    revision: str | None,
    on_progress: ProgressCallback | None,
) -> tuple[Path, str]:
    """The folder of a text model, and its name; what the cache lacks is downloaded.

    Raises:
        CheckpointError: there is none, it cannot be fetched, it would run code of its own, or its
            weights are no safetensors.
        ValueError: `revision` together with a folder.
    """
    if model is None:
        model = os.environ.get(TEXT_MODEL_VARIABLE) or DEFAULT_TEXT_MODEL
    name = os.fspath(model)
    folder = Path(name).expanduser()
    if folder.is_dir():
        if revision is not None:
            raise ValueError(f"revision is for models of the hub, but {name!r} is a folder.")
    elif folder.exists() or name.count("/") != 1 or name.startswith((".", "/", "~")):
        raise CheckpointError(
            f"there is no folder {name!r}, and it is not a model id of the hub such as "
            f"{DEFAULT_TEXT_MODEL}."
        )
    else:
        folder = _cached(name, revision) or download_checked(
            name, revision, FETCHED, (CONFIG_NAME,), lambda place: check_code(place, name),
            on_progress,
        )  # fmt: skip
    check_weights(folder, name)
    check_code(folder, name)
    return folder, name


def check_weights(folder: Path, name: str) -> None:
    """Raises CheckpointError where there are no safetensors."""
    if any(folder.glob(WEIGHTS)):
        return
    pickles = sorted(path.name for pattern in PICKLES for path in folder.glob(pattern))
    if pickles:
        raise CheckpointError(
            f"{name} has its weights in {pickles[0]}, a pickle, which could run any code; "
            "only safetensors are read: take another conversion of this model."
        )
    raise CheckpointError(f"{name} has no {WEIGHTS}; give a whole mlx-lm model.")


def check_code(folder: Path, name: str) -> None:
    """Raises CheckpointError where a model asks for code of its own."""
    model_file = read_object(folder / CONFIG_NAME).get("model_file")
    if model_file is not None:
        raise CheckpointError(
            f"{name} brings code of its own ({model_file}, named in {CONFIG_NAME}), which is never "
            "run; take a model of an architecture that mlx-lm has itself."
        )
    path = folder / TOKENIZER_CONFIG_NAME
    if path.is_file() and read_object(path).get("auto_map"):
        raise CheckpointError(
            f"{name} brings code of its own for its tokenizer (auto_map in "
            f"{TOKENIZER_CONFIG_NAME}), which is never run; take a model whose tokenizer is "
            f"{TOKENIZER_NAME} alone."
        )


def _cached(name: str, revision: str | None) -> Path | None:
    """The model in the hub's cache if it is whole; makes no network call."""
    from huggingface_hub import try_to_load_from_cache

    config = try_to_load_from_cache(name, CONFIG_NAME, revision=revision)
    if not isinstance(config, str):
        return None
    folder = Path(config).parent
    has_tokenizer = any((folder / one).is_file() for one in TOKENIZERS)
    return folder if has_tokenizer and _has_weights(folder) else None


def _has_weights(folder: Path) -> bool:
    index = folder / INDEX_NAME
    if not index.is_file():  # a download that was stopped may not have come to it
        names = [path.name for path in folder.glob(WEIGHTS)]
        return bool(names) and all(len(names) == _n_shards(name) for name in names)
    named = read_object(index).get("weight_map")
    return isinstance(named, dict) and all((folder / str(n)).is_file() for n in named.values())


def _n_shards(name: str) -> int:
    """model-00001-of-00002.safetensors is one of two."""
    found = SHARD.search(name)
    return 1 if found is None else int(found[1])
