"""The messages of OpenAI's realtime interface, as text: read from a client, written to it."""

from __future__ import annotations

import base64
import binascii
import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

LONGEST_QUOTE = 80
MOST_VALUES = 100_000
"""More take seconds and half a gigabyte, in a message that is short enough."""


class ClientError(Exception):
    """What a client did wrong; the session goes on."""

    def __init__(self, message: str, param: str | None = None, code: str | None = None) -> None:
        super().__init__(message)
        self.param, self.code = param, code or "invalid_value"


@dataclass(frozen=True)
class ClientMessage:
    """A message; `event_id` is the client's own."""

    kind: str
    event_id: str | None
    fields: Mapping[str, Any]


def read_message(text: str) -> ClientMessage:
    """ClientError for what is no message."""
    if sum(map(text.count, "[{,")) > MOST_VALUES:
        raise ClientError("the message has too many values.", code="invalid_json")
    try:
        # A number too long for Python, or nesting too deep, is not JSON that anybody means.
        given = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ClientError("the message is not JSON.", code="invalid_json") from error
    if not isinstance(given, dict):
        raise ClientError("the message must be a JSON object.", code="invalid_json")
    kind, event_id = given.get("type"), given.get("event_id")
    if not isinstance(kind, str):
        raise ClientError("the message has no type.", "type", "missing_required_parameter")
    return ClientMessage(kind, event_id if isinstance(event_id, str) else None, given)


def audio_of(message: ClientMessage) -> bytes:
    """The sound that a message brings; ClientError where it brings none."""
    audio = message.fields.get("audio")
    if not isinstance(audio, str):
        raise ClientError("audio must be a string in base64.", "audio")
    try:
        sound = base64.b64decode(audio, validate=True)
    except (binascii.Error, ValueError) as error:
        raise ClientError("audio is not base64.", "audio", "invalid_base64") from error
    if len(sound) % 2:
        raise ClientError("audio must hold whole 16-bit samples: an even number of bytes.", "audio")
    return sound


def new_id(kind: str) -> str:
    """ "item" -> "item_" and what nobody guesses."""
    return f"{kind}_{secrets.token_hex(10)}"


def written(kind: str, **fields: Any) -> str:
    """A server's message. Half a surrogate pair, which UTF-8 lacks, is told by its own escape."""
    text = json.dumps({"type": kind, "event_id": new_id("event"), **fields}, ensure_ascii=False)
    return text.encode("utf-8", "backslashreplace").decode()


def error_message(
    message: str,
    *,
    kind: str = "invalid_request_error",
    code: str | None = None,
    param: str | None = None,
    event_id: str | None = None,
) -> str:
    """An error, and the client's message that caused it."""
    error = {"type": kind, "code": code, "message": message, "param": param, "event_id": event_id}
    return written("error", error=error)


def quoted(text: str) -> str:
    """What a client sent, short enough to be sent back."""
    return repr(text if len(text) <= LONGEST_QUOTE else text[:LONGEST_QUOTE] + "...")
