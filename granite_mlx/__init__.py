"""granite-mlx: IBM's Granite Speech on Apple Silicon.

    import granite_mlx
    model = granite_mlx.load()                      # or load("demo"), which needs no download
    print(model.transcribe("call.m4a").text)

Importing this module loads nothing heavy: the names below are fetched when they are first used.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from granite_mlx.errors import (
    AnswerError,
    AudioError,
    AudioTooLongError,
    BusyError,
    CheckpointError,
    ConversionError,
    GraniteError,
    LanguageError,
    RecognitionError,
    UnsupportedModelError,
)

if TYPE_CHECKING:
    from granite_mlx.cancelling import CancelToken, TimeLimitReached
    from granite_mlx.engine import Cancelled
    from granite_mlx.live.events import Draft, Final, TurnDone, TurnStarted, TurnStopped
    from granite_mlx.live.session import LiveSession
    from granite_mlx.loading import load
    from granite_mlx.ranges import Range
    from granite_mlx.segments.limits import SegmentLimits
    from granite_mlx.speech import GraniteSpeech
    from granite_mlx.transcript import (
        KeywordReport,
        Segment,
        SubtitleOptions,
        Transcript,
        TranscriptWarning,
        Word,
    )

__version__ = "0.1.0"

__all__ = [
    "AnswerError",
    "AudioError",
    "AudioTooLongError",
    "BusyError",
    "CancelToken",
    "Cancelled",
    "CheckpointError",
    "ConversionError",
    "Draft",
    "Final",
    "GraniteError",
    "GraniteSpeech",
    "KeywordReport",
    "LanguageError",
    "LiveSession",
    "Range",
    "RecognitionError",
    "Segment",
    "SegmentLimits",
    "SubtitleOptions",
    "TimeLimitReached",
    "Transcript",
    "TranscriptWarning",
    "TurnDone",
    "TurnStarted",
    "TurnStopped",
    "UnsupportedModelError",
    "Word",
    "__version__",
    "load",
]

_LAZY = {
    "CancelToken": "granite_mlx.cancelling",
    "TimeLimitReached": "granite_mlx.cancelling",
    "Cancelled": "granite_mlx.engine",
    "Range": "granite_mlx.ranges",
    "SegmentLimits": "granite_mlx.segments.limits",
    "GraniteSpeech": "granite_mlx.speech",
    "LiveSession": "granite_mlx.live.session",
    "Draft": "granite_mlx.live.events",
    "Final": "granite_mlx.live.events",
    "TurnDone": "granite_mlx.live.events",
    "TurnStarted": "granite_mlx.live.events",
    "TurnStopped": "granite_mlx.live.events",
    "load": "granite_mlx.loading",
    "KeywordReport": "granite_mlx.transcript",
    "Segment": "granite_mlx.transcript",
    "SubtitleOptions": "granite_mlx.transcript",
    "Transcript": "granite_mlx.transcript",
    "TranscriptWarning": "granite_mlx.transcript",
    "Word": "granite_mlx.transcript",
}


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module 'granite_mlx' has no attribute {name!r}")
    return getattr(import_module(_LAZY[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
