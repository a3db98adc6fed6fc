"""`granite-mlx transcribe FILE...`"""

from __future__ import annotations

import argparse

from granite_mlx.cli.arguments import add_recognition_arguments
from granite_mlx.cli.batch import run_batch
from granite_mlx.cli.model import FractionProgress, ModelLoader, RecognitionOptions, SpeechModel
from granite_mlx.cli.screen import Screen
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


def run(arguments: argparse.Namespace, screen: Screen, load: ModelLoader) -> int:
    """Transcribe the recordings. -> exit code."""
    return run_batch(arguments, screen, load, _transcribe)


def _transcribe(
    model: SpeechModel,
    audio: str | bytes,
    options: RecognitionOptions,
    on_progress: FractionProgress,
) -> Transcript:
    return model.transcribe(audio, on_progress=on_progress, **options)
