"""The values that a transcription returns. All times are seconds from the start of the recording.

What is not known is None, never a guess. Nothing here knows audio, models or files' contents.
"""

from __future__ import annotations

from dataclasses import dataclass
from os import PathLike
from typing import Literal

from granite_mlx.transcript.characters import joined
from granite_mlx.transcript.subtitle_options import SubtitleOptions

Task = Literal["transcribe", "translate"]

LANGUAGES_WITHOUT_SPACES = frozenset({"ja", "zh"})


@dataclass(frozen=True)
class Word:
    """One word. `confidence` is between 0 and 1."""

    start_s: float
    end_s: float
    text: str
    confidence: float | None


@dataclass(frozen=True)
class Segment:
    """A stretch of speech. `words` is empty where word times are not known.

    `language` is what is spoken, where that was given, and `target_language` what it was translated
    to: ranges of a recording may differ in both.
    """

    start_s: float
    end_s: float
    text: str
    confidence: float | None = None
    speaker: str | None = None
    words: tuple[Word, ...] = ()
    language: str | None = None
    target_language: str | None = None


@dataclass(frozen=True)
class KeywordReport:
    """What became of one keyword.

    `offered` says whether it was in the model's prompt, `found` whether the text contains it, and
    `times` holds (start_s, end_s) of each occurrence where word times are known.
    """

    term: str
    offered: bool
    found: bool
    times: tuple[tuple[float, float], ...] | None = None


@dataclass(frozen=True)
class TranscriptWarning:
    """Something that the reader should know; `code` is stable, `message` is a sentence.

    The times are None when the whole recording is meant.
    """

    code: str
    message: str
    start_s: float | None
    end_s: float | None


@dataclass(frozen=True)
class Transcript:
    """The result for one recording.

    `language` is the code of the spoken language as far as it is known; `target_language` is set
    for a translation only. `duration_s` is the length of the audio that was listened to.
    """

    segments: tuple[Segment, ...]
    language: str | None
    target_language: str | None
    task: Task
    duration_s: float
    model: str
    warnings: tuple[TranscriptWarning, ...] = ()
    keywords: tuple[KeywordReport, ...] = ()

    @property
    def text(self) -> str:
        """The segments' text joined by spaces, or by nothing in Chinese and Japanese."""
        written_in = self.target_language or self.language
        space = "" if written_in in LANGUAGES_WITHOUT_SPACES else " "
        return joined((segment.text for segment in self.segments), space)

    @property
    def words(self) -> tuple[Word, ...]:
        """The words of all segments, in the order in which they begin: speakers may overlap."""
        words = [word for segment in self.segments for word in segment.words]
        return tuple(sorted(words, key=lambda word: word.start_s))

    def to_json(self) -> str:
        """This transcript as JSON, schema version 1 (docs/transcript-schema.md).

        Times are rounded to milliseconds. There is no newline at the end.
        """
        from granite_mlx.transcript.schema import to_json

        return to_json(self)

    @classmethod
    def from_json(cls, text: str) -> Transcript:
        """The transcript that `to_json` wrote.

        Raises:
            ValueError: not JSON, another schema version, or a key that is missing or has the
                wrong type; the message names the key.
        """
        from granite_mlx.transcript.schema import from_json

        return from_json(text)

    def to_srt(self, options: SubtitleOptions | None = None) -> str:
        """This transcript as SubRip subtitles (docs/subtitles.md); no newline at the end."""
        from granite_mlx.transcript.subtitles import to_srt

        return to_srt(self, options)

    def to_vtt(self, options: SubtitleOptions | None = None) -> str:
        """This transcript as WebVTT subtitles (docs/subtitles.md); no newline at the end."""
        from granite_mlx.transcript.subtitles import to_vtt

        return to_vtt(self, options)

    def to_tsv(self) -> str:
        """start, end (whole milliseconds) and text of each segment, tab-separated, under a header.

        There is no newline at the end.
        """
        from granite_mlx.transcript.subtitles import to_tsv

        return to_tsv(self)

    def save(self, path: str | PathLike[str], subtitles: SubtitleOptions | None = None) -> None:
        """Write this transcript to a file in the format of its suffix.

        The suffixes are .txt, .srt, .vtt, .tsv and .json; `subtitles` is for .srt and .vtt. The
        file appears complete or not at all; one that is there is replaced.

        Raises:
            ValueError: a suffix that is none of the formats.
            OSError: the file cannot be written.
        """
        from granite_mlx.transcript.writers import save

        save(self, path, subtitles)
