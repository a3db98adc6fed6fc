"""Transcripts in another format, written by a process of its own: `transcripts.py` runs it.

A transcript as JSON on stdin -> the format that is named, on stdout. What is refused is told there
as JSON instead, with the exit status REFUSED.
"""

from __future__ import annotations

import json
import os
import resource
import sys

from granite_mlx.transcript import Transcript
from granite_mlx.transcript.characters import split, unspaced_parts
from granite_mlx.transcript.writers import writers

REFUSED = 3
MOST_WORDS = 200_000
"""More than ten hours of fast speech. Chinese and Japanese characters count as words."""

LONGEST_CPU_S = 60


def written(body: bytes, name: str) -> bytes:
    """The transcript in a format; ValueError tells what is wrong with it.

    Raises:
        TooManyWordsError: it is too long to be laid out.
    """
    try:
        transcript = Transcript.from_json(body.decode())
    except UnicodeDecodeError as error:
        raise ValueError("This is not a transcript: it is not UTF-8.") from error
    if max(_n_words(transcript), len(transcript.words)) > MOST_WORDS:
        raise TooManyWordsError(
            f"the transcript has more than {MOST_WORDS} words, the most that are written at once; "
            "send it in parts."
        )
    return f"{writers()[name](transcript)}\n".encode("utf-8", "backslashreplace")


class TooManyWordsError(Exception):
    """It would take too long."""


def _n_words(transcript: Transcript) -> int:
    """How many parts have to be laid out."""
    return sum(
        len(unspaced_parts(part)) for segment in transcript.segments for part in split(segment.text)
    )


def main() -> int:
    """Write the transcript on stdin in the format that the first argument names."""
    os.nice(5)  # the model goes first
    resource.setrlimit(resource.RLIMIT_CPU, (LONGEST_CPU_S, LONGEST_CPU_S + 1))
    try:
        output, status = written(sys.stdin.buffer.read(), sys.argv[1]), 0
    except TooManyWordsError as error:
        output, status = _refusal(413, error), REFUSED
    except ValueError as error:
        output, status = _refusal(400, error), REFUSED
    sys.stdout.buffer.write(output)
    return status


def _refusal(status: int, error: Exception) -> bytes:
    return json.dumps({"status": status, "message": str(error)}).encode()


if __name__ == "__main__":
    sys.exit(main())
