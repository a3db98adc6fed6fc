"""`granite-mlx transcribe FILE...`"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from functools import partial

from granite_mlx.cli.arguments import add_recognition_arguments
from granite_mlx.cli.batch import run_batch
from granite_mlx.cli.bulk_arguments import add_batch_size, add_bulk_arguments
from granite_mlx.cli.listener import Audio, Outcome, Recogniser
from granite_mlx.cli.model import (
    FractionProgress,
    ModelLoader,
    RecognitionOptions,
    SpeechModel,
    without_range,
)
from granite_mlx.cli.screen import Screen
from granite_mlx.decoding.speculative import SPECULATIVE, Speculative
from granite_mlx.transcript import Transcript

NAME = "transcribe"
SUMMARY = "write down what is said in recordings"
DESCRIPTION = "Write down what is said in recordings."
EXAMPLES = """\
examples:
  granite-mlx transcribe call.m4a
  granite-mlx transcribe call.m4a -k Kubernetes -k Siobhan --start 1:30 --end 2:00
  granite-mlx transcribe *.wav -f all -o transcripts
  granite-mlx transcribe -r talks -o transcripts --manifest talks.jsonl
  granite-mlx transcribe -m demo - < call.wav
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of this command."""
    add_recognition_arguments(parser)
    add_batch_size(add_bulk_arguments(parser))
    parser.add_argument(
        "--speculative",
        choices=SPECULATIVE,
        default=SPECULATIVE[0],
        help="exact: the same text, sooner, with drafts of the character head; relaxed: sooner "
        "still, and at times another text; off: token by token (default: exact)",
    )
    marks = parser.add_argument_group("marks in the text").add_mutually_exclusive_group()
    marks.add_argument(
        "--speakers", action="store_true", help="tell who is speaking (granite-speech-4.1-2b-plus)"
    )
    marks.add_argument(
        "--word-times",
        action="store_true",
        help="tell when each word is said (granite-speech-4.1-2b-plus)",
    )


def run(arguments: argparse.Namespace, screen: Screen, load: ModelLoader) -> int:
    """Transcribe the recordings. -> exit code."""
    marks = {"speakers": arguments.speakers, "word_times": arguments.word_times}
    one = partial(_transcribe, marks=marks, speculative=arguments.speculative)
    several = partial(_transcribe_batch, marks=marks, speculative=arguments.speculative)
    return run_batch(arguments, screen, load, Recogniser(one, several))


def _transcribe(
    model: SpeechModel,
    audio: Audio,
    options: RecognitionOptions,
    on_progress: FractionProgress,
    marks: dict[str, bool],
    speculative: Speculative,
) -> Transcript:
    return model.transcribe(
        audio, speculative=speculative, on_progress=on_progress, **marks, **options
    )


def _transcribe_batch(
    model: SpeechModel,
    audio: Sequence[Audio],
    options: RecognitionOptions,
    on_progress: FractionProgress,
    marks: dict[str, bool],
    speculative: Speculative,
) -> Sequence[Outcome]:
    return model.transcribe_batch(
        audio,
        speculative=speculative,
        batch_size=len(audio),
        on_progress=on_progress,
        **marks,
        **without_range(options),
    )
