"""`granite-mlx transcribe FILE...`"""

from __future__ import annotations

import argparse
from functools import partial
from typing import BinaryIO

from granite_mlx.cli.arguments import add_recognition_arguments
from granite_mlx.cli.batch import run_batch
from granite_mlx.cli.failures import UsageError
from granite_mlx.cli.model import FractionProgress, ModelLoader, RecognitionOptions, SpeechModel
from granite_mlx.cli.screen import Screen
from granite_mlx.decoding.speculative import SPECULATIVE, Speculative
from granite_mlx.decoding.word_times import WORD_TIMES, WordTimes
from granite_mlx.transcript import Transcript

NAME = "transcribe"
SUMMARY = "write down what is said in recordings"
DESCRIPTION = "Write down what is said in recordings."
EXAMPLES = """\
examples:
  granite-mlx transcribe call.m4a
  granite-mlx transcribe call.m4a -k Kubernetes -k Siobhan --start 1:30 --end 2:00
  granite-mlx transcribe *.wav -f all -o transcripts
  granite-mlx transcribe -m demo - < call.wav
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of this command."""
    add_recognition_arguments(parser)
    parser.add_argument(
        "--speculative",
        choices=SPECULATIVE,
        default=SPECULATIVE[0],
        help="exact: the same text, sooner, with drafts of the character head; relaxed: sooner "
        "still, and at times another text; off: token by token (default: exact)",
    )
    marks = parser.add_argument_group("words and speakers")
    marks.add_argument(
        "--speakers", action="store_true", help="tell who is speaking (granite-speech-4.1-2b-plus)"
    )
    marks.add_argument(
        "--word-times",
        choices=WORD_TIMES,
        default=WORD_TIMES[0],
        help="when each word is said, and how probably it is right; aligned: from what the "
        "encoder's character head hears; model: asked of the model, without probabilities "
        "(granite-speech-4.1-2b-plus, not with --speakers); off: not at all (default: aligned)",
    )


def run(arguments: argparse.Namespace, screen: Screen, load: ModelLoader) -> int:
    """Transcribe the recordings. -> exit code."""
    if arguments.speakers and arguments.word_times == "model":
        raise UsageError("--word-times model cannot be had with --speakers; take aligned.")
    transcribe = partial(
        _transcribe,
        speakers=arguments.speakers,
        word_times=arguments.word_times,
        speculative=arguments.speculative,
    )
    return run_batch(arguments, screen, load, transcribe)


def _transcribe(
    model: SpeechModel,
    audio: str | BinaryIO,
    options: RecognitionOptions,
    on_progress: FractionProgress,
    speakers: bool,
    word_times: WordTimes,
    speculative: Speculative,
) -> Transcript:
    return model.transcribe(
        audio,
        speakers=speakers,
        word_times=word_times,
        speculative=speculative,
        on_progress=on_progress,
        **options,
    )
