"""`granite-mlx translate FILE... --to LANG`"""

from __future__ import annotations

import argparse

from granite_mlx.cli.arguments import add_recognition_arguments, target
from granite_mlx.cli.batch import run_batch
from granite_mlx.cli.bulk_arguments import add_bulk_arguments
from granite_mlx.cli.listener import Audio, Recogniser
from granite_mlx.cli.model import FractionProgress, ModelLoader, RecognitionOptions, SpeechModel
from granite_mlx.cli.screen import Screen
from granite_mlx.decoding.languages import translation_pair
from granite_mlx.transcript import Transcript

NAME = "translate"
SUMMARY = "write down in another language what is said in recordings"
DESCRIPTION = "Write down in another language what is said in recordings."
EXAMPLES = """\
examples:
  granite-mlx translate talk.wav --to fr
  granite-mlx translate *.mp3 --to English --language German -o translations
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of this command."""
    parser.add_argument(
        "--to",
        metavar="LANG",
        type=target,
        required=True,
        help="the language to translate to, a code or an English name (fr, French)",
    )
    add_recognition_arguments(parser)
    add_bulk_arguments(parser)


def run(arguments: argparse.Namespace, screen: Screen, load: ModelLoader) -> int:
    """Translate the recordings. -> exit code."""
    translation_pair(arguments.language, arguments.to)  # raises before a model is loaded

    def translate(
        model: SpeechModel,
        audio: Audio,
        options: RecognitionOptions,
        on_progress: FractionProgress,
    ) -> Transcript:
        return model.translate(audio, to=arguments.to, on_progress=on_progress, **options)

    return run_batch(arguments, screen, load, Recogniser(translate))
