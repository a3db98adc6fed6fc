"""Which member of the family a checkpoint is: it decides what it is asked, and how it answers."""

from __future__ import annotations

import re
from typing import Literal

from granite_mlx.model.config import SpeechConfig

Family = Literal["4.0", "4.1", "4.1-plus", "5.0"]

SECOND_HEAD_NAME = "out_llm.safetensors"
"""A CTC head over the language model's tokens, beside the weights of 4.1-2b and 5.0-2b."""

_NAMED: tuple[Family, ...] = ("4.0", "4.1", "5.0")


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
