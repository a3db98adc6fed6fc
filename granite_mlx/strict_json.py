"""JSON that people write: a key that stands twice in an object is an error, not the last one."""

from __future__ import annotations

import json
from typing import Any


class TwiceError(ValueError):
    """A key stands twice in one object; the message says which."""


def read_json(text: str | bytes) -> Any:
    """The value of a text.

    Raises:
        TwiceError: a key stands twice in one object.
        ValueError: the text is no JSON, or no UTF-8.
        RecursionError: its lists and objects are too deep.
    """
    return json.loads(text, object_pairs_hook=_once)


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for n, key in enumerate(keys) if key in keys[:n])
        raise TwiceError(f"{twice!r} stands twice in one object.")
    return found
