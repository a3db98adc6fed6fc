"""A checkpoint's folder: which files make it whole, and its configuration and chat template."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from granite_mlx.errors import CheckpointError
from granite_mlx.model.shards import INDEX_NAME

CONFIG_NAME = "config.json"
TOKENIZER_NAME = "tokenizer.json"
WEIGHTS_NAME = "model.safetensors"


def first_missing(folder: Path) -> str | None:
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
