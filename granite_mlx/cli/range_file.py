"""The file behind --ranges: where something else is asked of a recording."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from granite_mlx.cli.failures import UsageError
from granite_mlx.cli.times import seconds
from granite_mlx.decoding.prompts import Task
from granite_mlx.errors import GraniteError
from granite_mlx.ranges import Range, stretches
from granite_mlx.strict_json import TwiceError, read_json

KEYS = ("start", "end", "language", "to", "keywords", "punctuate")


def read_ranges(path: Path) -> tuple[Range, ...]:
    """The ranges in a file: a JSON list of objects with some of `KEYS`.

    Times are seconds, or text as --start takes it.

    Raises:
        UsageError: the file is no such list, or its ranges make no sense.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
        listed = read_json(text)
    except TwiceError as error:
        raise UsageError(f"--ranges {path}: {error}") from error
    except OSError as error:
        raise UsageError(f"--ranges {path}: {error.strerror or error}.") from error
    except (RecursionError, ValueError) as error:  # no JSON, or no UTF-8
        raise UsageError(f"--ranges {path} is not JSON: {error}.") from error
    if not isinstance(listed, list):
        raise UsageError(f"--ranges {path} holds no list of ranges.")
    found = []
    for place, one in enumerate(listed, start=1):
        try:
            found.append(_range(one))
        except (GraniteError, ArithmeticError, TypeError, ValueError,
                argparse.ArgumentTypeError) as error:  # fmt: skip
            raise UsageError(f"--ranges {path}, range {place}: {error}") from error
    try:
        stretches(Task(), found)
    except ValueError as error:
        raise UsageError(f"--ranges {path}: {error}") from error
    return tuple(found)


def _range(given: Any) -> Range:
    if not isinstance(given, dict):
        raise TypeError(f"it is not an object but {json.dumps(given)}.")
    unknown = [key for key in given if key not in KEYS]
    if unknown:
        raise ValueError(f"{unknown[0]!r} is none of {', '.join(KEYS)}.")
    if "start" not in given:
        raise ValueError("it has no start.")
    punctuate = given.get("punctuate")
    if punctuate is not None and not isinstance(punctuate, bool):
        raise TypeError(f"punctuate must be true or false, not {json.dumps(punctuate)}.")
    if given.get("keywords") is not None and not isinstance(given["keywords"], list):
        raise TypeError(f"keywords must be a list, not {json.dumps(given['keywords'])}.")
    for key in ("language", "to"):
        if given.get(key) is not None and not isinstance(given[key], str):
            raise TypeError(f"{key} must be text, not {json.dumps(given[key])}.")
    return Range(
        _time_s(given["start"]),
        _time_s(given.get("end")),
        language=given.get("language"),
        to=given.get("to"),
        keywords=given.get("keywords"),
        punctuate=punctuate,
    )


def _time_s(value: Any) -> Any:
    """Text to seconds; the rest is for `Range` to judge."""
    return seconds(value) if isinstance(value, str) else value
