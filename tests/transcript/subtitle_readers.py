"""Strict readers of SRT and WebVTT, written from their descriptions and not from our writer.

They refuse what a lenient player would pass over: https://www.w3.org/TR/webvtt1/#syntax, and for
SRT the shape that all programs agree on.
"""

import re
from dataclasses import dataclass
from itertools import pairwise

CLOCK = r"(\d{2,}):([0-5]\d):([0-5]\d)%s(\d{3})"
VTT_TOKEN = re.compile(r"&(amp|lt|gt);|<v ([^<>&\n]|&(?:amp|lt|gt);)+>|</v>|</?u>|[^&<>]")
REFERENCES = {"&lt;": "<", "&gt;": ">", "&amp;": "&"}


@dataclass(frozen=True)
class Read:
    """A cue as a program reads it; `marked` is the text between <u> and </u>."""

    start_ms: int
    end_ms: int
    text: str
    speakers: tuple[str, ...] = ()
    marked: str | None = None

    @property
    def lines(self) -> list[str]:
        return self.text.split("\n")


def read_srt(text: str) -> list[Read]:
    """The cues of an SRT file; <u> is its only markup here. Raises AssertionError."""
    if text == "\n":
        return []
    blocks = _blocks(text)
    cues = []
    for number, (head, timing, *lines) in enumerate(blocks, start=1):
        assert head == str(number)
        assert lines
        assert not any("-->" in line for line in lines)
        plain, marked = _unmarked("\n".join(lines))
        cues.append(Read(*_times(timing, ","), plain, (), marked))
    return _in_order(cues)


def read_vtt(text: str) -> list[Read]:
    """The cues of a WebVTT file. Raises AssertionError."""
    head, *blocks = _blocks(text)
    assert head == ["WEBVTT"]
    cues = []
    for timing, *lines in blocks:
        payload = "\n".join(lines)
        assert payload
        assert "-->" not in payload
        assert VTT_TOKEN.sub("", payload) == "", payload
        speakers, rest = _voices(payload)
        plain, marked = _unmarked(rest)
        marked = None if marked is None else _resolved(marked)
        cues.append(Read(*_times(timing, r"\."), _resolved(plain), speakers, marked))
    return _in_order(cues)


def _voices(payload: str) -> tuple[tuple[str, ...], str]:
    """Who speaks, and the text without tags: an end may lack where one voice has it all."""
    tags = re.findall(r"</?v[^>]*>", payload)
    if len(tags) == 1:
        assert payload.startswith(tags[0])
    else:
        assert all(tag == "</v>" for tag in tags[1::2])
        assert not len(tags) % 2
    names = re.findall(r"<v ([^>]+)>", payload)
    return tuple(map(_resolved, names)), re.sub(r"</?v[^>]*>", "", payload)


def _blocks(text: str) -> list[list[str]]:
    assert text.endswith("\n")
    assert not text.endswith("\n\n")
    assert "\r" not in text
    assert "\0" not in text
    blocks = [block.split("\n") for block in text[:-1].split("\n\n")]
    assert all(line.strip() for block in blocks for line in block)
    return blocks


def _times(line: str, mark: str) -> tuple[int, int]:
    clock = CLOCK % mark
    match = re.fullmatch(f"{clock} --> {clock}", line, flags=re.ASCII)
    assert match is not None, line
    numbers = [int(group) for group in match.groups()]
    start_ms, end_ms = (
        ((hours * 60 + minutes) * 60 + seconds) * 1000 + ms
        for hours, minutes, seconds, ms in (numbers[:4], numbers[4:])
    )
    return start_ms, end_ms


def _in_order(cues: list[Read]) -> list[Read]:
    assert all(cue.start_ms < cue.end_ms for cue in cues)
    assert all(before.end_ms <= after.start_ms for before, after in pairwise(cues))
    return cues


def _unmarked(text: str) -> tuple[str, str | None]:
    assert text.count("<u>") == text.count("</u>") <= 1
    match = re.search("<u>([^\n]+)</u>", text)
    assert (match is None) == ("<u>" not in text)
    return re.sub("</?u>", "", text), match[1] if match else None


def _resolved(text: str) -> str:
    return re.sub("&(?:lt|gt|amp);", lambda match: REFERENCES[match[0]], text)
