"""The names under which clients may ask for the model."""

from __future__ import annotations

_OPENAI_BEGINNINGS = ("whisper-", "gpt-")
"""whisper-1, gpt-4o-transcribe and so on: apps send such names."""


def short_name(model_id: str) -> str:
    """The last part of a Hugging Face id or of a folder."""
    return model_id.rstrip("/").rpartition("/")[2]


def is_known(name: str, model_id: str) -> bool:
    """Whether a client means the model."""
    return name in (model_id, short_name(model_id)) or name.startswith(_OPENAI_BEGINNINGS)
