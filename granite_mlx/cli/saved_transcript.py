"""A recording's transcript: the one that was saved, or a new one, which is saved.

It lies beside the recording under its whole name, as call.m4a.json, so that call.wav has another.
It is used again unless the recording is newer, or something is asked for that it may not have.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Protocol

from granite_mlx.biasing.terms import read_keywords
from granite_mlx.cli.failures import UsageError
from granite_mlx.cli.loop import warning_text
from granite_mlx.cli.model import RecognitionOptions, SpeechModel
from granite_mlx.cli.screen import Screen, shown
from granite_mlx.errors import AudioError
from granite_mlx.options import BATCH_SIZE
from granite_mlx.transcript import Transcript

SUFFIX = ".json"


class OpensSpeech(Protocol):
    """What loads the speech model when it is needed."""

    def open(self) -> SpeechModel: ...


def transcript_of(
    file: Path, arguments: argparse.Namespace, screen: Screen, speech: OpensSpeech
) -> Transcript:
    """The transcript of a recording, or the one that a JSON file holds.

    Raises:
        AudioError: there is no such file, or no recording in it.
        UsageError: a JSON file holds no transcript.
    """
    if not file.is_file():
        raise AudioError(f"{file}: there is no such file.")
    wishes = _wishes(arguments)
    if file.suffix.lower() == SUFFIX:
        if wishes or arguments.transcript is not None:
            raise UsageError(
                f"{file} is a transcript; {(*wishes, '--transcript')[0]} is for recordings."
            )
        return _read(file)
    place: Path = arguments.transcript or file.with_name(file.name + SUFFIX)
    saved = _read(place) if place.exists() else None
    is_old = place.exists() and place.stat().st_mtime < file.stat().st_mtime
    is_other = saved is not None and arguments.model not in (None, saved.model)
    if saved is not None and not (wishes or is_old or is_other):
        screen.note(f"the transcript is {shown(str(place))}; --fresh listens again.")
        return saved
    transcript = _listen(file, arguments, screen, speech.open())
    try:
        transcript.save(place)
        screen.note(f"{shown(str(file))} -> {shown(str(place))}")
    except OSError as error:
        screen.warning(f"{place}: the transcript cannot be kept ({error.strerror}).")
    return transcript


def _wishes(arguments: argparse.Namespace) -> tuple[str, ...]:
    """Options about how the recording is heard, which no saved transcript can fulfil."""
    given = {
        "--fresh": arguments.fresh,
        "--keyword": arguments.keyword,
        "--keywords-file": arguments.keywords_file,
        "--keyword-boost": arguments.keyword_boost,
        "--language": arguments.language,
        "--punctuate": arguments.punctuate,
    }
    return tuple(name for name, value in given.items() if value)


def _read(place: Path) -> Transcript:
    try:
        return Transcript.from_json(place.read_text(encoding="utf-8"))
    except ValueError as error:  # not UTF-8 is one, too
        raise UsageError(
            f"{place}: this is no transcript of granite-mlx ({error}) "
            "Name another file, or another place with --transcript."
        ) from error


def _listen(
    file: Path, arguments: argparse.Namespace, screen: Screen, model: SpeechModel
) -> Transcript:
    given = read_keywords(arguments.keyword) + read_keywords(arguments.keywords_file)
    options = RecognitionOptions(
        keywords=given.entries() or None,
        keyword_boost=arguments.keyword_boost,
        language=arguments.language,
        punctuate=arguments.punctuate,
        temperature=0.0,
        top_p=1.0,
        seed=None,
        max_new_tokens=None,
        guard="on",
        start_s=0.0,
        end_s=None,
        channels="mixed",
        ranges=(),
        batch_size=BATCH_SIZE,
    )
    transcript = model.transcribe(
        str(file),
        on_progress=lambda part: screen.progress(f"{part:.0%}: {shown(str(file))}"),
        **options,
    )
    for warning in transcript.warnings:
        screen.warning(f"{shown(str(file))}: {warning_text(warning)}")
    return transcript
