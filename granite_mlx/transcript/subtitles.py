"""Transcripts as SRT, WebVTT and TSV.

SRT and WebVTT show cues. SRT knows no escapes: where a text would be read as markup or as a time,
an invisible word joiner (U+2060) stands between the characters. TSV is for programs: a segment a
line, as openai-whisper writes it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from granite_mlx.transcript.characters import split
from granite_mlx.transcript.cue import Cue, Turn
from granite_mlx.transcript.cues import make_cues
from granite_mlx.transcript.lines import line_text
from granite_mlx.transcript.pieces import Piece, milliseconds
from granite_mlx.transcript.subtitle_options import SubtitleOptions
from granite_mlx.transcript.types import Transcript

WORD_JOINER = "\u2060"
_SRT_MARKUP = re.compile(r"(?<=--)(?=>)|(?<=<)(?=[A-Za-z/])|(?<=\{)(?=\\)")
_VTT_ESCAPES = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;"})

_Escape = Callable[[str], str]
_Voiced = Callable[[str, Turn, Cue], str]


@dataclass(frozen=True)
class _Frame:
    """A cue, or the part of its time during which one of its pieces is highlighted."""

    cue: Cue
    start_ms: int
    end_ms: int
    highlighted: Piece | None = None


def to_srt(transcript: Transcript, options: SubtitleOptions | None = None) -> str:
    """SubRip, with "Name: " in front where another speaker begins; no newline at the end."""
    options = options or SubtitleOptions()
    cues = make_cues(transcript, options, label=lambda name: f"{name}: ")
    return "\n\n".join(
        f"{number}\n{_clock(frame.start_ms, ',')} --> {_clock(frame.end_ms, ',')}\n"
        f"{_shown(frame, _escape_srt)}"
        for number, frame in enumerate(_frames(cues, options), start=1)
    )


def to_vtt(transcript: Transcript, options: SubtitleOptions | None = None) -> str:
    """WebVTT, with the speaker in each cue's voice tag; no newline at the end."""
    options = options or SubtitleOptions()
    cues = make_cues(transcript, options, label=lambda name: "")
    blocks = [
        f"{_clock(frame.start_ms, '.')} --> {_clock(frame.end_ms, '.')}\n"
        f"{_shown(frame, _escape_vtt, _voiced)}"
        for frame in _frames(cues, options)
    ]
    return "\n\n".join(["WEBVTT", *blocks])


def to_tsv(transcript: Transcript) -> str:
    """start, end (whole milliseconds) and text of each segment that has text, under a header.

    A fourth column names the speakers where there are any. There is no newline at the end.
    """
    told = any(segment.speaker for segment in transcript.segments)
    rows = [["start", "end", "text", "speaker"]]
    for segment in transcript.segments:
        if text := " ".join(split(segment.text)):
            start, end = milliseconds(segment.start_s), milliseconds(segment.end_s)
            rows.append([str(start), str(end), text, " ".join(split(segment.speaker or ""))])
    return "\n".join("\t".join(row if told else row[:3]) for row in rows)


def _frames(cues: tuple[Cue, ...], options: SubtitleOptions) -> Iterator[_Frame]:
    for cue in cues:
        if options.highlight_words:
            yield from _highlights(cue)
        else:
            yield _Frame(cue, cue.start_ms, cue.end_ms)


def _highlights(cue: Cue) -> Iterator[_Frame]:
    """The cue once for each word that has a time of its own, and plain in between."""
    now_ms = cue.start_ms
    for piece in sorted(cue.pieces, key=lambda piece: piece.start_ms):  # turns are said at once
        start_ms = min(max(piece.start_ms, now_ms), cue.end_ms)
        end_ms = min(piece.end_ms, cue.end_ms)
        if not piece.timed or end_ms <= start_ms:
            continue
        if start_ms > now_ms:
            yield _Frame(cue, now_ms, start_ms)
        yield _Frame(cue, start_ms, end_ms, piece)
        now_ms = end_ms
    if now_ms < cue.end_ms:
        yield _Frame(cue, now_ms, cue.end_ms)


def _shown(frame: _Frame, escape: _Escape, voiced: _Voiced = lambda text, turn, cue: text) -> str:
    turns = []
    for turn in frame.cue.turns:
        lines = (_line(line, frame.highlighted, escape) for line in turn.lines)
        turns.append(escape(turn.label) + voiced("\n".join(lines), turn, frame.cue))
    return "\n".join(turns)


def _line(line: Sequence[Piece], highlighted: Piece | None, escape: _Escape) -> str:
    if highlighted is None:
        return escape(line_text(line))
    return "".join(_marked(piece, i == 0, highlighted, escape) for i, piece in enumerate(line))


def _marked(piece: Piece, is_first: bool, highlighted: Piece, escape: _Escape) -> str:
    space = " " if piece.space and not is_first else ""
    text = escape(piece.text)
    return f"{space}<u>{text}</u>" if piece is highlighted else f"{space}{text}"


def _voiced(text: str, turn: Turn, cue: Cue) -> str:
    """The text in its speaker's voice tag, which is closed where another one follows."""
    if turn.speaker is None:
        return text
    end = "</v>" if len(cue.turns) > 1 else ""
    return f"<v {_escape_vtt(turn.speaker)}>{text}{end}"


def _escape_srt(text: str) -> str:
    return _SRT_MARKUP.sub(WORD_JOINER, text)


def _escape_vtt(text: str) -> str:
    return text.translate(_VTT_ESCAPES)


def _clock(time_ms: int, decimal_mark: str) -> str:
    seconds, milliseconds = divmod(time_ms, 1000)
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:02}:{minutes:02}:{seconds:02}{decimal_mark}{milliseconds:03}"
