"""`granite-mlx transcribe FILE...`"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from granite_mlx.cli.arguments import add_recognition_arguments
from granite_mlx.cli.batch import run_batch
from granite_mlx.cli.bulk_arguments import add_bulk_arguments
from granite_mlx.cli.failures import UsageError
from granite_mlx.cli.listener import Audio, OnOutcome, Recogniser
from granite_mlx.cli.model import (
    FractionProgress,
    ModelLoader,
    RecognitionOptions,
    SpeechModel,
)
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
  granite-mlx transcribe -r talks -o transcripts --manifest talks.jsonl
  granite-mlx transcribe -m demo - < call.wav
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of this command."""
    add_recognition_arguments(parser)
    add_bulk_arguments(parser)
    add_transcript_arguments(parser)


def add_transcript_arguments(parser: argparse.ArgumentParser) -> None:
    """What `asked_of` reads: what is asked of transcripts and not of translations."""
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
    return run_batch(arguments, screen, load, transcribers(asked_of(arguments)))


@dataclass(frozen=True)
class Asked:
    """What a transcription is asked beside what translations are, too."""

    speakers: bool
    word_times: WordTimes
    speculative: Speculative


def asked_of(arguments: argparse.Namespace) -> Asked:
    """Raises UsageError for what cannot be had together."""
    if arguments.speakers and arguments.word_times == "model":
        raise UsageError("--word-times model cannot be had with --speakers; take aligned.")
    return Asked(arguments.speakers, arguments.word_times, arguments.speculative)


def transcribers(asked: Asked) -> Recogniser:
    """How one recording and several are asked; it can be pickled."""
    return Recogniser(partial(_transcribe, asked), partial(_transcribe_batch, asked))


def _transcribe(
    asked: Asked,
    model: SpeechModel,
    audio: Audio,
    options: RecognitionOptions,
    on_progress: FractionProgress,
) -> Transcript:
    return model.transcribe(
        audio,
        speakers=asked.speakers,
        word_times=asked.word_times,
        speculative=asked.speculative,
        on_progress=on_progress,
        **options,
    )


def _transcribe_batch(
    asked: Asked,
    model: SpeechModel,
    audio: Sequence[Audio],
    options: RecognitionOptions,
    on_progress: FractionProgress,
    on_outcome: OnOutcome,
) -> None:
    model.transcribe_batch(
        audio,
        speakers=asked.speakers,
        word_times=asked.word_times,
        speculative=asked.speculative,
        on_progress=on_progress,
        on_result=on_outcome,
        **options,
    )
