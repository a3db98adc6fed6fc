"""How long a recording is, before the model hears any of it.

A small file can hold days of silence: its size does not tell.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import BinaryIO

from granite_mlx.audio.files import open_audio
from granite_mlx.audio.stream import SAMPLE_RATE, Part
from granite_mlx.errors import AudioError
from granite_mlx.serve.errors import ApiError
from granite_mlx.serve.fields import Options

TOLERANCE_S = 1.0


def check_length(
    file: BinaryIO, options: Options, limit_s: float, checkpoint: Callable[[], None]
) -> None:
    """ApiError 413 for more than `limit_s`, all channels that are asked for together.

    Where the header tells no length, what is there is decoded and counted. AudioError where there
    is nothing to decode.
    """
    with open_audio(file, Part(), separate=options["channels"] == "separate") as stream:
        n_seconds = 0.0
        for block in stream.blocks():
            checkpoint()
            n_channels = block.shape[1]
            n_seconds += len(block) * n_channels / SAMPLE_RATE
            told_s = (stream.duration_s or 0.0) * n_channels
            if max(n_seconds, told_s) > limit_s + TOLERANCE_S:
                raise too_long(
                    f"the recording is longer than {limit_s:g} s, the limit of this server; send "
                    "it in parts."
                    if n_channels == 1
                    else f"{n_channels} channels of the recording come to more than {limit_s:g} s, "
                    "the limit of this server; send it in parts, or with channels=mixed."
                )
            if stream.duration_s is not None:
                return


def check_beginning(file: BinaryIO, limit_s: float) -> None:
    """Likewise of a file whose end is not there yet, as far as that can be told; else nothing."""
    with contextlib.suppress(AudioError), open_audio(file, Part()) as stream:
        if (stream.duration_s or 0.0) > limit_s + TOLERANCE_S:
            raise too_long(
                f"the recording is longer than {limit_s:g} s, the limit of this server; send it "
                "in parts."
            )


def last_s(options: Options, limit_s: float) -> float:
    """Where to stop at the latest: a header may tell less than there is."""
    latest_s = max(limit_s, options["start_s"]) + TOLERANCE_S  # behind `start_s` in any case
    return latest_s if options["end_s"] is None else min(options["end_s"], latest_s)


def too_long(message: str) -> ApiError:
    """What is told of a recording above the limit."""
    return ApiError(413, message, param="file", code="audio_too_long")
