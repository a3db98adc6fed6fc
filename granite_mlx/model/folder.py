"""A checkpoint's folder: which files make it whole, and its configuration and chat template."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from granite_mlx.errors import CheckpointError
from granite_mlx.model.shards import INDEX_NAME

CONFIG_NAME = "config.json"
TOKENIZER_NAME = "tokenizer.json"
WEIGHTS_NAME = "model.safetensors"
ADAPTER_CONFIG_NAME = "adapter_config.json"
ADAPTER_WEIGHTS_NAME = "adapter_model.safetensors"
TOKENIZER_CONFIG_NAME = "tokenizer_config.json"

SPECIAL_TOKENS = (
    "bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token",
)  # fmt: skip
"""Those whose text transformers gives to chat templates."""


def first_missing(folder: Path) -> str | None:
    """Name of the first file that a complete checkpoint needs and `folder` lacks."""
    for name in _needed_names(folder):
        if not (folder / name).is_file():
            return name
    return None if _find_chat_template(folder) is not None else "chat_template.jinja"


def _needed_names(folder: Path) -> Iterator[str]:
    """One after the other, since the first files tell which others are needed."""
    yield from (CONFIG_NAME, TOKENIZER_NAME)
    yield from _weight_names(folder)
    if has_adapter(folder):
        yield from (ADAPTER_CONFIG_NAME, ADAPTER_WEIGHTS_NAME)


def has_adapter(folder: Path) -> bool:
    """Whether a LoRA adapter belongs to the checkpoint, in `folder` or missing there.

    config.json may ask for one. One that lies there counts all the same: transformers loads it,
    whatever has_lora_adapter says.
    """
    asked_for = read_config(folder).get("has_lora_adapter") is True
    return asked_for or (folder / ADAPTER_CONFIG_NAME).is_file()


def _weight_names(folder: Path) -> list[str]:
    if not (folder / INDEX_NAME).is_file():
        return [WEIGHTS_NAME]
    weight_map = read_object(folder / INDEX_NAME).get("weight_map")
    # A weight_map that makes no sense is for granite_mlx.model.shards to report.
    return sorted({str(n) for n in weight_map.values()}) if isinstance(weight_map, dict) else []


def read_config(folder: Path) -> dict[str, Any]:
    """The content of config.json.

    Raises:
        CheckpointError: it is missing, not JSON, or not an object.
    """
    return read_object(folder / CONFIG_NAME)


def read_adapter_config(folder: Path) -> dict[str, Any]:
    """The content of adapter_config.json.

    Raises:
        CheckpointError: it is missing, not JSON, or not an object.
    """
    path = folder / ADAPTER_CONFIG_NAME
    if not path.is_file():
        raise CheckpointError(
            f"{path} is missing, but config.json says has_lora_adapter; give the folder of a whole "
            "checkpoint, or set that to false if the adapter is merged into the weights."
        )
    return read_object(path)


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
    for name in ("chat_template.json", TOKENIZER_CONFIG_NAME):
        if (folder / name).is_file():
            template = read_object(folder / name).get("chat_template")
            if isinstance(template, list):
                template = _default_template(template)
            if isinstance(template, str):
                return template
    return None


def _default_template(templates: list[Any]) -> Any:
    """The template named "default" of a list of {"name": ..., "template": ...}."""
    named = [entry for entry in templates if isinstance(entry, dict)]
    return next((entry.get("template") for entry in named if entry.get("name") == "default"), None)


def read_special_tokens(folder: Path) -> dict[str, str]:
    """The texts of the special tokens that tokenizer_config.json names, if there is that file.

    Raises:
        CheckpointError: it is not JSON, or not an object.
    """
    path = folder / TOKENIZER_CONFIG_NAME
    raw = read_object(path) if path.is_file() else {}
    tokens = {}
    for name in SPECIAL_TOKENS:
        value = raw.get(name)
        text = (
            value.get("content") if isinstance(value, dict) else value
        )  # an added token as object
        if isinstance(text, str):
            tokens[name] = text
    return tokens


def read_object(path: Path) -> dict[str, Any]:
    """The JSON object that a file of a checkpoint holds.

    Raises:
        CheckpointError: it is missing, unreadable, not JSON, or not an object.
    """
    try:
        content = json.loads(_read_text(path))
    except (ValueError, RecursionError) as error:  # also numbers too long, brackets too deep
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
