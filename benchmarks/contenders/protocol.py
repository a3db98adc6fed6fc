"""How the harness and a contender's program talk: a JSON object a line, on stdin and stdout.

The program says once who it is, and then answers requests one by one until its stdin ends:

    {"ready": true, "versions": {...}, "kinds": ["stages", "end_to_end"]}
    <- {"do": "load", "model": "/folder", "dtype": "float32"}
    -> {"values": {"load_s": 1.2}}
    <- {"do": "end_to_end", "audio": "/10.wav", "seconds": 10, "n_tokens": 32, "forced": true}
    -> {"values": {"total_s": 3.1, ...}, "text": "..."}
    -> {"error": "..."} where it could not be done

Whatever else a library prints goes to stderr. This file needs the standard library alone.
"""

from __future__ import annotations

import json
import os
import sys
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from granite_mlx.bench.memory import peak_resident_bytes, reset_peak_resident

QUESTION = "can you transcribe the speech into a written format?"
"""What every contender is asked, as the model card has it."""

OPTIONS_VARIABLE = "GRANITE_MLX_BENCH_OPTIONS"
"""A contender's own settings, as a JSON object in its environment."""


@dataclass(frozen=True)
class Answer:
    """What one request came to: figures by name with their units in it, and the text if any."""

    values: Mapping[str, float]
    text: str | None = None


@dataclass(frozen=True)
class Request:
    """A recording and how it is to be heard.

    With `forced` the text has `n_tokens` tokens exactly, whatever the model would say; otherwise
    that is the most. `seconds` is the recording's length.
    """

    audio: Path
    seconds: float
    n_tokens: int
    forced: bool


Load = Callable[[str, str], Answer]
"""Folder or name of the model, and the type to compute in."""

Measure = Callable[[Request], Answer]


def serve(
    versions: Mapping[str, str],
    load: Load,
    kinds: Mapping[str, Measure],
    measured: Callable[[Callable[[], Answer]], Answer] | None = None,
) -> None:
    """Answer requests until stdin ends; `measured` wraps each, and adds what memory it took."""
    channel = _private_stdout()
    _say(channel, {"ready": True, "versions": dict(versions), "kinds": list(kinds)})
    wrap = measured or with_resident_peak
    for line in sys.stdin:
        request = json.loads(line)
        try:
            answer = wrap(lambda asked=request: _answer(asked, load, kinds))  # type: ignore[misc]
        except Exception as error:
            traceback.print_exc()
            _say(channel, {"error": f"{type(error).__name__}: {error}"})
            continue
        _say(channel, {"values": dict(answer.values), "text": answer.text})


def with_resident_peak(work: Callable[[], Answer]) -> Answer:
    """Add the largest resident size; where it cannot be reset, it is that of the whole process."""
    reset_peak_resident()
    answer = work()
    return Answer({**answer.values, "peak_resident_bytes": peak_resident_bytes()}, answer.text)


def options() -> dict[str, Any]:
    """This contender's settings."""
    given: dict[str, Any] = json.loads(os.environ.get(OPTIONS_VARIABLE) or "{}")
    return given


def _answer(request: Mapping[str, Any], load: Load, kinds: Mapping[str, Measure]) -> Answer:
    if request["do"] == "load":
        return load(request["model"], request["dtype"])
    asked = Request(
        Path(request["audio"]), request["seconds"], request["n_tokens"], request["forced"]
    )
    return kinds[request["do"]](asked)


def _private_stdout() -> IO[str]:
    """The real stdout; what is printed from now on goes to stderr."""
    channel = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    return channel


def _say(channel: IO[str], message: Mapping[str, Any]) -> None:
    channel.write(json.dumps(message) + "\n")
    channel.flush()
