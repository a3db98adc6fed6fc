"""What was said, as values: a transcript, its segments and words, and how they are written down."""

from granite_mlx.transcript.subtitle_options import SubtitleOptions
from granite_mlx.transcript.types import (
    KeywordReport,
    Segment,
    Transcript,
    TranscriptWarning,
    Word,
)
from granite_mlx.transcript.writers import FORMATS

__all__ = [
    "FORMATS",
    "KeywordReport",
    "Segment",
    "SubtitleOptions",
    "Transcript",
    "TranscriptWarning",
    "Word",
]
