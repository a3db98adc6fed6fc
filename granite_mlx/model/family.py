"""Which member of the family a checkpoint is: it decides what it is asked, and how it answers."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from granite_mlx.errors import CheckpointError
from granite_mlx.model.config import SpeechConfig

Family = Literal["4.0", "4.1", "4.1-plus", "5.0"]

FAMILIES: tuple[Family, ...] = ("4.0", "4.1", "4.1-plus", "5.0")

FAMILY_KEY = "granite_mlx_family"
"""Under this a conversion's config.json tells the family: its name may be any."""

SECOND_HEAD_NAME = "out_llm.safetensors"
"""A CTC head over the language model's tokens, beside the weights of 4.1-2b and 5.0-2b."""

_NAMED: tuple[Family, ...] = ("4.0", "4.1", "5.0")


def checkpoint_family(folder: Path, raw_config: Mapping[str, Any], config: SpeechConfig) -> Family:
    """The family of the checkpoint in a folder: what config.json says, or else what it looks like.

    Raises:
        CheckpointError: config.json names a family that there is not.
    """
    recorded = raw_config.get(FAMILY_KEY)
    if recorded is None:
        has_second_head = (folder / SECOND_HEAD_NAME).exists()
        return model_family(checkpoint_name(folder), config, has_second_head)
    for family in FAMILIES:
        if family == recorded:
            return family
    raise CheckpointError(
        f"{folder}: config.json's {FAMILY_KEY} is {recorded!r}, and known are "
        f"{', '.join(FAMILIES)}; a later granite-mlx may know it."
    )


def checkpoint_name(folder: Path) -> str:
    """The folder's name, or the repository's where the folder lies in the Hugging Face cache."""
    folder = Path(os.path.abspath(folder))  # "." has no name
    return folder.parents[1].name if folder.parent.name == "snapshots" else folder.name


def model_family(name: str, config: SpeechConfig, has_second_head: bool) -> Family:
    """The family of a checkpoint called `name`.

    Only 4.1-2b-plus concatenates layers. The network of the others tells them apart in part: a
    name with a version in it says more, and a folder may be called anything.
    """
    if config.encoder.cat_hidden_layers:
        return "4.1-plus"
    for family in _NAMED:
        if re.search(rf"(?<![\d.]){re.escape(family)}(?!\d)", name):
            return family
    if config.text.yarn is not None:
        return "5.0"
    return "4.1" if has_second_head else "4.0"
