"""What the commands need of a model, and how they get the real one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, BinaryIO, Protocol, TypedDict, Unpack

from granite_mlx.biasing.terms import Entry
from granite_mlx.decoding.speculative import Speculative
from granite_mlx.decoding.word_times import WordTimes
from granite_mlx.options import Channels, Guard
from granite_mlx.transcript import Transcript

if TYPE_CHECKING:
    from granite_mlx.live.options import LiveOptions
    from granite_mlx.live.session import LiveSession
    from granite_mlx.ranges import Range

BytesProgress = Callable[[int, int], None]
"""(bytes done, bytes in total) of a download."""

FractionProgress = Callable[[float], None]
"""The part of a recording that is done, 0 to 1."""


class RecognitionOptions(TypedDict):
    """The options of `GraniteSpeech` that the command line sets."""

    keywords: list[Entry] | None
    keyword_boost: float
    language: str | None
    punctuate: bool
    temperature: float
    top_p: float
    seed: int | None
    max_new_tokens: int | None
    guard: Guard
    start_s: float
    end_s: float | None
    channels: Channels
    ranges: Sequence[Range]
    batch_size: int


class SpeechModel(Protocol):
    """The part of `GraniteSpeech` that the commands use."""

    @property
    def model_id(self) -> str: ...
    @property
    def dtype(self) -> str: ...
    @property
    def max_duration_s(self) -> float: ...

    def transcribe(
        self,
        audio: str | BinaryIO,
        *,
        speakers: bool = False,
        word_times: WordTimes = "aligned",
        speculative: Speculative = "exact",
        on_progress: FractionProgress | None = None,
        **options: Unpack[RecognitionOptions],
    ) -> Transcript: ...

    def translate(
        self,
        audio: str | BinaryIO,
        *,
        to: str,
        on_progress: FractionProgress | None = None,
        **options: Unpack[RecognitionOptions],
    ) -> Transcript: ...

    def transcribe_batch(
        self,
        audio: Sequence[str | BinaryIO],
        *,
        speakers: bool = False,
        word_times: WordTimes = "aligned",
        speculative: Speculative = "exact",
        on_progress: FractionProgress | None = None,
        on_result: Callable[[int, Transcript | Exception], None] | None = None,
        **options: Unpack[RecognitionOptions],
    ) -> Sequence[Transcript | Exception]: ...

    def live(self, **options: Unpack[LiveOptions]) -> LiveSession: ...

    def close(self) -> None: ...


class ModelLoader(Protocol):
    """`granite_mlx.load`, or what a test puts in its place."""

    def __call__(
        self,
        model: str | None,
        *,
        revision: str | None,
        dtype: str | None,
        on_progress: BytesProgress | None,
    ) -> SpeechModel: ...


def load_granite_speech(
    model: str | None,
    *,
    revision: str | None,
    dtype: str | None,
    on_progress: BytesProgress | None,
) -> SpeechModel:
    """The real model; importing it only here keeps --help fast."""
    from granite_mlx import load

    return load(model, revision=revision, dtype=dtype, on_progress=on_progress)
