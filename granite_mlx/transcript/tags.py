"""Speakers and times that a model has written into its text, as segments and words.

granite-speech-4.1-2b-plus marks turns, as in "[Speaker 1]: how are you [Speaker 2]: fine", or the
end of every word, as in "hello [T:45] _ [T:90] world [T:131]", where an underscore is a silence.
Times are in centiseconds and begin anew every ten seconds.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from granite_mlx.transcript.types import Segment, Word

_TAG = re.compile(r"\[Speaker (?P<speaker>\d+)\]:?|\[T:(?P<time>\d+)\]")
_SILENCE = "_"
_CENTISECONDS = 100
_PERIOD = 10 * _CENTISECONDS

SLACK = 1 * _CENTISECONDS
"""How far behind the end of the recording a time is still taken for the end."""


def parse_tags(text: str, start_s: float, end_s: float) -> tuple[Segment, ...]:
    """The turns of a text about the recording from `start_s` to `end_s`, without the tags.

    Words have times where the text has any. What lacks a tag of its own gets the span in which it
    must lie: words without a time the one between the times around them, turns of a text without
    times the whole recording.
    """
    timed = any(match["time"] is not None for match in _TAG.finditer(text))
    reader = _Reader(start_s, end_s, {_SILENCE} if timed else set())
    position = 0
    for match in _TAG.finditer(text):
        reader.hear(text[position : match.start()].split())
        position = match.end()
        if match["time"] is not None:
            reader.see_time(int(match["time"]))
        else:
            reader.change_speaker(f"Speaker {match['speaker']}")
    reader.hear(text[position:].split())
    reader.stop()
    return tuple(turn.segment(timed) for turn in reader.turns if turn.words)


@dataclass
class _Turn:
    speaker: str | None
    words: list[Word] = field(default_factory=list)

    def segment(self, timed: bool) -> Segment:
        return Segment(
            start_s=self.words[0].start_s,
            end_s=self.words[-1].end_s,
            text=" ".join(word.text for word in self.words),
            speaker=self.speaker,
            words=tuple(self.words) if timed else (),
        )


class _Reader:
    """Goes through a text from left to right; words wait until the next time tells their end."""

    def __init__(self, start_s: float, end_s: float, silences: set[str]) -> None:
        self.turns = [_Turn(None)]
        self._start_s, self._end_s, self._silences = start_s, end_s, silences
        self._elapsed = 0  # centiseconds from the start to the last time
        self._waiting: list[tuple[_Turn, str]] = []

    def hear(self, words: list[str]) -> None:
        self._waiting += [(self.turns[-1], word) for word in words if word not in self._silences]

    def change_speaker(self, speaker: str) -> None:
        self.turns.append(_Turn(speaker))

    def see_time(self, centiseconds: int) -> None:
        """Times only grow; one that would lie behind the recording's end points back: no step."""
        step = (centiseconds - self._elapsed) % _PERIOD
        limit = (self._end_s - self._start_s) * _CENTISECONDS + SLACK
        before_s = self._now_s
        if self._elapsed + step <= limit:
            self._elapsed += step
        self._settle(before_s, self._now_s)

    def stop(self) -> None:
        self._settle(self._now_s, self._end_s)

    @property
    def _now_s(self) -> float:
        return min(self._start_s + self._elapsed / _CENTISECONDS, self._end_s)

    def _settle(self, start_s: float, end_s: float) -> None:
        for turn, text in self._waiting:
            turn.words.append(Word(start_s, end_s, text, confidence=None))
        self._waiting.clear()
