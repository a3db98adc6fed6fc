"""The files beside the weights: what is carried over as it is, and the new config.json."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from granite_mlx.convert.card import CARD_NAME
from granite_mlx.convert.manifest import MANIFEST_NAME
from granite_mlx.convert.plan import Plan
from granite_mlx.errors import CheckpointError, ConversionError
from granite_mlx.model.checkpoint import Checkpoint
from granite_mlx.model.family import SECOND_HEAD_NAME
from granite_mlx.model.folder import ADAPTER_CONFIG_NAME, CONFIG_NAME, WEIGHTS_NAME
from granite_mlx.model.hub import ProgressCallback, download_besides
from granite_mlx.model.shards import INDEX_NAME

LOADED = (
    "generation_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "tokenizer.model",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "merges.txt",
    "chat_template.jinja",
    "chat_template.json",
    "preprocessor_config.json",
    "processor_config.json",
    SECOND_HEAD_NAME,
)
"""Names of what may be loaded together with the weights."""

CARRIED = (
    *LOADED,
    *(f"{name}{end}" for name in ("LICENSE", "LICENCE", "NOTICE") for end in ("", ".md", ".txt")),
)
"""Names of the files that are carried over. config.json, README.md and the weights are written
anew; anything else in the folder, a pickle above all, is none of the model's."""

WRITTEN = frozenset((*CARRIED, CONFIG_NAME, CARD_NAME, MANIFEST_NAME, WEIGHTS_NAME, INDEX_NAME))
_READ = frozenset((*CARRIED, CONFIG_NAME, INDEX_NAME, ADAPTER_CONFIG_NAME))
_SHARD = re.compile(r"model-\d{5}-of-\d{5}\.safetensors")
_FINDERS = ".DS_Store"
"""macOS puts it into every folder that its Finder has shown."""

_DTYPE_KEYS = ("dtype", "torch_dtype")


def fetch_carried(checkpoint: Checkpoint, on_progress: ProgressCallback | None) -> list[str]:
    """Bring what is carried over of a hub checkpoint into its cache; loading needs less.

    Without the network the conversion goes on with what is there, and what is returned says so.
    """
    if checkpoint.revision is None:
        return []
    names = (*CARRIED, CARD_NAME)
    try:
        download_besides(checkpoint.model_id, checkpoint.revision, names, on_progress)
    except CheckpointError as error:
        return [f"the result may lack the source's license, card or second head: {error}"]
    return []


def carried_files(folder: Path) -> list[Path]:
    """The files of a source that are carried over.

    Raises:
        ConversionError: one of them, or the card, is a link to a file that is none of the
            checkpoint's.
    """
    *found, card = map(folder.joinpath, [*sorted(CARRIED), CARD_NAME])
    found = [path for path in found if path.is_file()]
    for path in (*found, card):
        _check_link(path)
    return found


def _check_link(path: Path) -> None:
    """Refuse a link that leads out of the folder: what it leads to might be published next.

    In the hub's cache, where the files of a commit are links to models--*/blobs, that is usual.
    """
    file, folder = Path(os.path.realpath(path)), Path(os.path.realpath(path.parent))
    in_cache = file.parent.name == "blobs" and file.parents[1].name.startswith("models--")
    if not in_cache and folder not in file.parents:
        raise ConversionError(
            f"{path} is a link to {file}, which is not in the checkpoint's folder; copy the file "
            "there if it belongs to the checkpoint."
        )


def is_read(name: str) -> bool:
    """Whether a conversion depends on a file of this name in its source."""
    return name in _READ or name.endswith(".safetensors")


def is_written(name: str) -> bool:
    """Whether a file of this name may lie in a conversion."""
    return name in WRITTEN or name == _FINDERS or _SHARD.fullmatch(name) is not None


def converted_config(raw: Mapping[str, Any], plan: Plan, dtype: str | None) -> dict[str, Any]:
    """The result's config.json from the source's.

    `quantization` is written in mlx-lm's form and again as `quantization_config`, where
    transformers and the hub look for it.
    """
    config = dict(raw) if dtype is None else _with_dtype(raw, dtype)
    if config.get("has_lora_adapter"):
        config["has_lora_adapter"] = False  # it is merged
    for key in ("quantization", "quantization_config"):
        config.pop(key, None)
        if (quantization := plan.quantization()) is not None:
            config[key] = quantization
    return plan.layout.edit_config(config)


def _with_dtype(raw: Mapping[str, Any], dtype: str) -> dict[str, Any]:
    """A copy with the floating type that it names replaced, in its sections too."""
    return {
        key: dtype
        if key in _DTYPE_KEYS
        else _with_dtype(value, dtype)
        if isinstance(value, Mapping)
        else value
        for key, value in raw.items()
    }


def write_config(folder: Path, config: Mapping[str, Any]) -> None:
    """Write config.json."""
    text = json.dumps(config, indent=2)  # escaped, since JSON may hold what UTF-8 cannot
    (folder / CONFIG_NAME).write_text(text + "\n", encoding="utf-8")
