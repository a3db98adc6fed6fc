"""The model, loaded when the first recording needs it, and how it is asked."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import BinaryIO

from granite_mlx.cli.failures import NoModelError
from granite_mlx.cli.model import (
    BytesProgress,
    FractionProgress,
    ModelLoader,
    RecognitionOptions,
    SpeechModel,
)
from granite_mlx.cli.screen import Screen, shown
from granite_mlx.transcript import Transcript

BYTES_PER_GB = 1e9

Audio = str | BinaryIO
Outcome = Transcript | Exception
Recognise = Callable[[SpeechModel, Audio, RecognitionOptions, FractionProgress], Transcript]
OnOutcome = Callable[[int, Outcome], None]
"""Takes the place of a recording among those that were given, and what came of it."""

RecogniseAll = Callable[
    [SpeechModel, Sequence[Audio], RecognitionOptions, FractionProgress, OnOutcome], None
]


@dataclass(frozen=True)
class Recogniser:
    """A command's way to ask a model about one recording, and about several at once if it can."""

    one: Recognise
    several: RecogniseAll | None = None


class Listener:
    """Asks one model the same about each recording."""

    def __init__(
        self,
        load: Callable[[], SpeechModel],
        recogniser: Recogniser,
        options: RecognitionOptions,
    ) -> None:
        self._load = load
        self._recogniser = recogniser
        self._options = options
        self._model: SpeechModel | None = None

    def model(self) -> SpeechModel:
        """The model; NoModelError if it cannot be loaded."""
        if self._model is None:
            try:
                self._model = self._load()
            except Exception as error:
                raise NoModelError from error
        return self._model

    def listen(
        self, audio: Sequence[Audio], on_progress: FractionProgress, on_outcome: OnOutcome
    ) -> None:
        """Tell what is said in each recording, or the error about it, in order."""
        told = _Told(on_outcome)
        several = self._recogniser.several
        if several is not None and len(audio) > 1:
            try:
                several(self.model(), audio, self._options, on_progress, told)
            except Exception as error:
                if error is told.raised:
                    raise
                # What no single recording is blamed for, as too little memory, may go well one by
                # one.
        for place in range(told.n, len(audio)):
            on_outcome(place, self._listen_to_one(audio[place], on_progress))

    def close(self) -> None:
        if self._model is not None:
            self._model.close()

    def _listen_to_one(self, audio: Audio, on_progress: FractionProgress) -> Outcome:
        try:
            return self._recogniser.one(self.model(), audio, self._options, on_progress)
        except Exception as error:
            return error


class _Told:
    """Passes outcomes on, and knows how many there were and what the receiver raised."""

    def __init__(self, on_outcome: OnOutcome) -> None:
        self.n = 0
        self.raised: BaseException | None = None
        self._on_outcome = on_outcome

    def __call__(self, place: int, outcome: Outcome) -> None:
        self.n = place + 1
        try:
            self._on_outcome(place, outcome)
        except BaseException as error:
            self.raised = error
            raise


def load_model(arguments: argparse.Namespace, load: ModelLoader, screen: Screen) -> SpeechModel:
    """Load what -m names, and show how far that is."""
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
