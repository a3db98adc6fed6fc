"""The names under which clients may ask for the model."""

from __future__ import annotations

OPENAI_NAMES = (
    "whisper-1",
    "gpt-transcribe",
    "gpt-4o-transcribe",
    "gpt-4o-mini-transcribe",
)
"""Examples: what begins as these do is taken for the model, since apps send such names."""

_OPENAI_BEGINNINGS = ("whisper-", "gpt-")


def short_name(model_id: str) -> str:
    """The last part of a Hugging Face id or of a folder."""
    return model_id.rstrip("/").rpartition("/")[2]


def is_known(name: str, model_id: str) -> bool:
    """Whether a client means the model."""
    return name in (model_id, short_name(model_id)) or name.startswith(_OPENAI_BEGINNINGS)
