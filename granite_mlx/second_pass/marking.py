"""An answer in plain text, looked at as it comes: citations get their times, quotes are checked.

    [12]            -> [12 at 0:01:23]
    [99]            -> [99: no such segment]
    "so it was"     -> "so it was" [not in the transcript]    unless it was said

Everything between double quotation marks is taken for a quote, up to the end of the line where the
closing mark is missing. Text is held back only inside of brackets and quotes.
"""

from __future__ import annotations

import re

from granite_mlx.second_pass.answers import Citation
from granite_mlx.second_pass.numbering import clock
from granite_mlx.second_pass.quotes import Quote, Said, keeps_words
from granite_mlx.transcript import Transcript

UNSUPPORTED = "[not in the transcript]"
CLOSING = {
    '"': '"”', "“": '”"', "„": '“”"', "«": "»", "»": "«", "「": "」", "『": "』", "[": "]",
}  # fmt: skip
CITATION = re.compile(
    r"\[\s*(?:(?:lines?|segments?|#)\s*)?\d+(?:\s*[,;–-]\s*\d+)*\s*\]", re.IGNORECASE
)
RANGE = re.compile(r"(\d+)(?:\s*[–-]\s*(\d+))?")
MOST_DIGITS = 9
LONGEST_BRACKET = 200  # of characters; a longer one is no citation


class Evidence:
    """What was said, and what of it an answer rests on."""

    def __init__(self, transcript: Transcript) -> None:
        self._segments = transcript.segments
        self._said = Said(transcript)
        self._cited: dict[int, Citation] = {}
        self.quotes: list[Quote] = []
        self.unknown: list[int] = []
        self.changed: list[int] = []  # segments written again with other words
        self.misplaced: list[tuple[int, Quote]] = []  # the segment that was named for a quote

    @property
    def citations(self) -> tuple[Citation, ...]:
        """In the order of the recording."""
        return tuple(self._cited[number] for number in sorted(self._cited))

    def cite(self, number: int) -> Citation | None:
        """Note that the answer refers to a segment; None where there is none of that number."""
        if not 0 <= number < len(self._segments):
            self.unknown.append(number)
            return None
        segment = self._segments[number]
        found = Citation(number, segment.start_s, segment.end_s, segment.text)
        return self._cited.setdefault(number, found)

    def cite_between(self, first: int, last: int) -> None:
        """Note that the answer refers to all segments from one to another, as far as they are."""
        for number in range(first, min(last, len(self._segments) - 1) + 1):
            self.cite(number)

    def is_said(self, quote: str, segment: int | None = None) -> bool:
        """Note that the answer quotes something, of a segment that it may name. What holds no
        words is no quote."""
        found = self._said.look_up(quote, segment)
        if found is not None:
            self.quotes.append(found)
            if segment is not None and found.is_supported and segment not in found.segments:
                self.misplaced.append((segment, found))
        return found is None or found.is_supported

    def quote(self, text: str, segment: int | None = None) -> str:
        """A quote, and behind it that it was not said, where that is so."""
        return text if self.is_said(text, segment) else f"{text} {UNSUPPORTED}"

    def prose(self, text: str) -> str:
        """A text with its citations' times and its quotes' marks."""
        marker = Marker(self)
        return marker.feed(text) + marker.finish()

    def rewritten(self, text: str, segment: int) -> str:
        """A segment's text with words left out; what holds other words, or others' order, is
        marked."""
        if 0 <= segment < len(self._segments):
            if keeps_words(text, self._segments[segment].text):
                return text
            self.changed.append(segment)
        return f"{text} {UNSUPPORTED}"


class Marker:
    """Takes an answer piece by piece, and gives it back with its marks."""

    def __init__(self, evidence: Evidence) -> None:
        self._evidence = evidence
        self._held = ""

    def feed(self, text: str) -> str:
        """Some more of the answer -> what can be shown now."""
        self._held += text
        shown = []
        while self._held:
            opening = next((n for n, letter in enumerate(self._held) if letter in CLOSING), None)
            if opening is None:
                opening = len(self._held)
            shown.append(self._held[:opening])
            self._held = self._held[opening:]
            end = self._end()
            if end is None:
                break
            shown.append(self._judged(self._held[:end]))
            self._held = self._held[end:]
        return "".join(shown)

    def finish(self) -> str:
        """There is no more of it -> what was held back."""
        held, self._held = self._held, ""
        return self._judged(held) if held else ""

    def _end(self) -> int | None:
        """Where what is held ends; None as long as that is not known."""
        if not self._held:
            return None
        is_bracket = self._held[0] == "["
        for place, letter in enumerate(self._held[1:], 1):
            if letter in CLOSING[self._held[0]]:
                return place + 1
            if letter == "\n" or (is_bracket and place > LONGEST_BRACKET):
                return place
            if is_bracket and letter in CLOSING:  # a quote in brackets
                return place
        return None

    def _judged(self, held: str) -> str:
        opening = held[0]
        shown = CITATION.sub(lambda match: self._with_times(match[0]), held)
        if opening == "[":
            return shown
        is_closed = len(held) > 1 and held[-1] in CLOSING[opening]
        quote = CITATION.sub("", held[1:-1] if is_closed else held[1:]).strip()
        return shown if self._evidence.is_said(quote) else f"{shown} {UNSUPPORTED}"

    def _with_times(self, citation: str) -> str:
        shown = []
        for first, last in RANGE.findall(citation):
            ends = [int(one[:MOST_DIGITS]) for one in (first, last) if one]
            shown.append(" - ".join(map(self._with_time, ends)))
            self._evidence.cite_between(ends[0], ends[-1])
        return f"[{'; '.join(shown)}]"

    def _with_time(self, number: int) -> str:
        found = self._evidence.cite(number)
        if found is None:
            return f"{number}: no such segment"
        return f"{number} at {clock(found.start_s)}"
