"""The work that transcribe and translate share: one recording after another through one model."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from typing import BinaryIO

from granite_mlx.cli.arguments import recognition_options, subtitle_options
from granite_mlx.cli.exits import Exit
from granite_mlx.cli.failures import NoModelError
from granite_mlx.cli.inputs import Recording, recordings
from granite_mlx.cli.model import (
    BytesProgress,
    FractionProgress,
    ModelLoader,
    RecognitionOptions,
    SpeechModel,
)
from granite_mlx.cli.outputs import (
    Delivery,
    deliveries_to_folder,
    deliveries_to_stdout,
    warn_without_words,
)
from granite_mlx.cli.screen import Screen, shown
from granite_mlx.errors import CheckpointError, LanguageError
from granite_mlx.transcript import Transcript, TranscriptWarning

BYTES_PER_GB = 1e9

OBSTACLES = (NoModelError, LanguageError, CheckpointError, ValueError)
"""What the next recording would meet too. ValueError is how the library refuses an option."""

Audio = str | BinaryIO
Recognise = Callable[[SpeechModel, Audio, RecognitionOptions, FractionProgress], Transcript]
Listen = Callable[[Audio, FractionProgress], Transcript]


def run_batch(
    arguments: argparse.Namespace, screen: Screen, load: ModelLoader, recognise: Recognise
) -> int:
    """Check everything, then listen to each recording and deliver it at once. -> exit code.

    Raises:
        UsageError: arguments that do not make sense; nothing was loaded or written.
    """
    options = recognition_options(arguments)
    files = recordings(arguments.files)
    deliveries = _deliveries(arguments, files, screen)
    if arguments.highlight_words:
        deliveries = warn_without_words(files, deliveries, screen)
    model = LazyModel(lambda: _load(arguments, load, screen))

    def listen(audio: Audio, on_progress: FractionProgress) -> Transcript:
        return recognise(model.get(), audio, options, on_progress)

    try:
        return Batch(files, deliveries, listen, screen).run()
    finally:
        model.close()


class LazyModel:
    """Loads the model when the first recording that is there needs it."""

    def __init__(self, load: Callable[[], SpeechModel]) -> None:
        self._load = load
        self._model: SpeechModel | None = None

    def get(self) -> SpeechModel:
        if self._model is None:
            try:
                self._model = self._load()
            except Exception as error:
                raise NoModelError from error
        return self._model

    def close(self) -> None:
        if self._model is not None:
            self._model.close()


class Batch:
    """The loop over the recordings, and the account of how they fared."""

    def __init__(
        self,
        files: Sequence[Recording],
        deliveries: Sequence[Delivery],
        listen: Listen,
        screen: Screen,
    ) -> None:
        self._files = files
        self._deliveries = deliveries
        self._listen = listen
        self._screen = screen
        self._n_done = 0
        self._failed: list[Recording] = []

    def run(self) -> int:
        """All recordings in order; a bad one does not stop the others. -> exit code."""
        try:
            for place, deliver in enumerate(self._deliveries):
                self._one(place, deliver)
        except KeyboardInterrupt:
            self._screen.error(f"interrupted; {self._n_done} of {len(self._files)} files are done.")
            return Exit.INTERRUPTED
        except OBSTACLES as error:
            self._screen.failure(error)
            return Exit.PARTIAL if self._n_done else Exit.NOTHING_DONE
        return self._account()

    def _one(self, place: int, deliver: Delivery) -> None:
        file = self._files[place]
        try:
            transcript = self._listen(file.audio(), self._progress_of(place))
            deliver(transcript)
        except (BrokenPipeError, *OBSTACLES):
            raise
        except Exception as error:
            self._failed.append(file)
            self._screen.failure(error, file.shown_name)
        else:
            self._n_done += 1
            for warning in transcript.warnings:
                self._screen.warning(f"{file.shown_name}: {_warning_text(warning)}")

    def _progress_of(self, place: int) -> FractionProgress:
        name = f"[{place + 1}/{len(self._files)}] {self._files[place].shown_name}"
        return lambda fraction: self._screen.progress(f"{name}: {fraction:.0%}")

    def _account(self) -> int:
        if not self._failed:
            return Exit.COMPLETE
        if len(self._files) > 1:
            names = ", ".join(file.shown_name for file in self._failed)
            self._screen.error(f"{len(self._failed)} of {len(self._files)} files failed: {names}")
        return Exit.PARTIAL if self._n_done else Exit.NOTHING_DONE


def _deliveries(
    arguments: argparse.Namespace, files: Sequence[Recording], screen: Screen
) -> list[Delivery]:
    subtitles = subtitle_options(arguments)
    if arguments.output_dir is None:
        return deliveries_to_stdout(files, arguments.output_format, screen, subtitles)
    inputs = [*(file.path for file in files), arguments.keywords_file]
    return deliveries_to_folder(
        files,
        arguments.output_dir,
        arguments.output_format,
        screen,
        subtitles,
        protected=[path for path in inputs if path is not None],
    )


def _load(arguments: argparse.Namespace, load: ModelLoader, screen: Screen) -> SpeechModel:
    name = shown(arguments.model) if arguments.model else "the model"
    screen.progress(f"Loading {name}")
    return load(
        arguments.model,
        revision=arguments.revision,
        dtype=arguments.dtype,
        on_progress=download_progress(screen, name),
    )


def download_progress(screen: Screen, name: str) -> BytesProgress:
    """A callback that shows how much of a model has arrived."""

    def show(done_bytes: int, total_bytes: int) -> None:
        if done_bytes < total_bytes:
            gigabytes = f"{done_bytes / BYTES_PER_GB:.2f} of {total_bytes / BYTES_PER_GB:.2f} GB"
            screen.progress(f"Downloading {name}: {done_bytes / total_bytes:.0%} ({gigabytes})")
        else:
            screen.progress(f"Loading {name}")

    return show


def _warning_text(warning: TranscriptWarning) -> str:
    if warning.start_s is None or warning.end_s is None:
        return warning.message
    return f"{warning.start_s:.2f}-{warning.end_s:.2f} s: {warning.message}"
