"""SRT, WebVTT and TSV as text: read back by two other readers, and character by character."""

import csv
import io
import json
from itertools import pairwise
from pathlib import Path

import pytest
import webvtt
from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st

from granite_mlx.transcript import Segment, SubtitleOptions, Transcript, Word
from granite_mlx.transcript.cue import Cue
from granite_mlx.transcript.cues import make_cues
from granite_mlx.transcript.lines import line_text

from .spoken import HOSTILE, OPTIONS, characters_of, heard, transcript, transcripts
from .subtitle_readers import Read, read_srt, read_vtt

DATA = Path(__file__).parents[1] / "data" / "subtitles"
WORD_JOINER = "\u2060"

thorough = settings(deadline=None, suppress_health_check=list(HealthCheck), max_examples=60)


def srt(spoken: Transcript, **options: object) -> list[Read]:
    return read_srt(spoken.to_srt(SubtitleOptions(**options)) + "\n")


def vtt(spoken: Transcript, **options: object) -> list[Read]:
    return read_vtt(spoken.to_vtt(SubtitleOptions(**options)) + "\n")


def shown(cue: Cue) -> tuple[int, int, str]:
    turns = (turn.label + "\n".join(map(line_text, turn.lines)) for turn in cue.turns)
    return cue.start_ms, cue.end_ms, "\n".join(turns)


# Properties


@thorough
@given(transcripts(), OPTIONS)
def test_a_strict_reader_finds_the_cues(spoken: Transcript, options: SubtitleOptions) -> None:
    assume(not options.highlight_words)
    cues = make_cues(spoken, options, lambda name: f"{name}: ")
    read = read_srt(spoken.to_srt(options) + "\n")
    assert [(c.start_ms, c.end_ms, c.text.replace(WORD_JOINER, "")) for c in read] == [
        shown(cue) for cue in cues
    ]
    cues = make_cues(spoken, options, lambda name: "")
    read = read_vtt(spoken.to_vtt(options) + "\n")
    assert [(c.start_ms, c.end_ms, c.text) for c in read] == [shown(cue) for cue in cues]
    assert [c.speakers for c in read] == [tuple(filter(None, cue.speakers)) for cue in cues]


@thorough
@given(transcripts(), OPTIONS)
def test_webvtt_py_finds_the_same_cues(spoken: Transcript, options: SubtitleOptions) -> None:
    for text, read, form in (
        (spoken.to_srt(options), read_srt, "srt"),
        (spoken.to_vtt(options), read_vtt, "vtt"),
    ):
        strict = read(text + "\n")
        if not strict and form == "srt":
            continue  # it refuses a file without cues
        lines = io.StringIO(text + "\n")
        captions = list(webvtt.from_buffer(lines, format=form, strict=form == "vtt"))
        assert len(captions) == len(strict)
        for caption, cue in zip(captions, strict, strict=True):
            assert caption.start_time.in_milliseconds() == cue.start_ms
            assert caption.end_time.in_milliseconds() == cue.end_ms
            assert len(caption.lines) == len(cue.lines)


@thorough
@given(transcripts(), OPTIONS)
def test_highlighted_words_are_the_plain_cues_in_parts(
    spoken: Transcript, options: SubtitleOptions
) -> None:
    choices = {field: getattr(options, field) for field in options.__dataclass_fields__}
    plain = srt(spoken, **choices | {"highlight_words": False})
    parts = srt(spoken, **choices | {"highlight_words": True})
    place = 0
    for cue in plain:
        own = [part for part in parts if cue.start_ms <= part.start_ms < cue.end_ms]
        assert {part.text for part in own} == {cue.text}
        assert (own[0].start_ms, own[-1].end_ms) == (cue.start_ms, cue.end_ms)
        assert all(before.end_ms == after.start_ms for before, after in pairwise(own))
        place += len(own)
    assert place == len(parts)
    if not any(segment.words for segment in spoken.segments):
        assert all(part.marked is None for part in parts)


@thorough
@given(transcripts())
def test_tsv_holds_the_segments(spoken: Transcript) -> None:
    rows = list(
        csv.DictReader(
            io.StringIO(spoken.to_tsv() + "\n", newline=""),
            delimiter="\t",
            quoting=csv.QUOTE_NONE,
        )
    )
    said = [segment for segment in spoken.segments if characters_of(segment.text)]
    assert [(int(row["start"]), int(row["end"])) for row in rows] == [
        (round(segment.start_s * 1000), round(segment.end_s * 1000)) for segment in said
    ]
    assert [characters_of(row["text"]) for row in rows] == [characters_of(s.text) for s in said]


@thorough
@given(transcripts(), OPTIONS)
def test_json_keeps_all_that_subtitles_need(spoken: Transcript, options: SubtitleOptions) -> None:
    again = Transcript.from_json(json.dumps(json.loads(spoken.to_json())))
    assert again.to_srt(options) == spoken.to_srt(options)
    assert again.to_vtt(options) == spoken.to_vtt(options)
    assert again.to_tsv() == spoken.to_tsv()


@settings(deadline=None)
@given(st.sampled_from(HOSTILE), st.sampled_from(HOSTILE))
@example("00:00:01,000 --> 00:00:02,000", "7")
@example("<u>", "</u>")
@example("a\n\n2\n00:00:09,000 --> 00:00:10,000\nb", "\r\n\r\n")
def test_no_text_and_no_name_breaks_the_file(text: str, name: str) -> None:
    spoken = transcript(Segment(0, 2, f"a {text} z", None, name), Segment(4, 6, "end"))
    for cues in (srt(spoken), vtt(spoken)):
        *_, last = cues
        assert last.text.endswith("end")
        joined = "".join(cue.text for cue in cues).replace(WORD_JOINER, "")
        assert characters_of(text) in characters_of(joined)


# Files made by hand


CONVERSATION = transcript(
    heard(
        ("Good", 0.5, 0.7),
        ("morning,", 0.7, 1.1),
        ("everyone.", 1.1, 1.8),
        ("Today", 2.5, 2.8),
        ("we", 2.8, 2.9),
        ("talk", 2.9, 3.2),
        ("about", 3.2, 3.5),
        ("R&D,", 3.5, 4.1),
        ("and", 4.4, 4.5),
        ("why", 4.5, 4.7),
        ("x", 4.7, 4.9),
        ("<b>", 4.9, 5.2),
        ("y.", 5.2, 5.5),
        speaker="Ann",
    ),
    Segment(6.0, 9.0, "Est-ce que ça va coûter beaucoup, tout ça ?", None, "Zoé <Bob>"),
    Segment(
        9.0, 13.0, "「今日は」と言いました。東京の新しい公園で、友達と一緒に散歩をしています。"
    ),
    duration_s=14.0,
)


@pytest.mark.parametrize("suffix", ["srt", "vtt", "tsv"])
def test_a_conversation_is_written_as_it_is_stored(suffix: str, tmp_path: Path) -> None:
    CONVERSATION.save(tmp_path / f"conversation.{suffix}")
    stored = (DATA / f"conversation.{suffix}").read_text(encoding="utf-8")
    assert (tmp_path / f"conversation.{suffix}").read_text(encoding="utf-8") == stored


def test_highlighted_words_are_underlined_while_they_are_said() -> None:
    spoken = transcript(heard(("so", 1.0, 1.2), ("long", 1.2, 1.6), ("now", 2.0, 2.4)))
    assert spoken.to_vtt(SubtitleOptions(highlight_words=True)).split("\n\n")[1:] == [
        "00:00:01.000 --> 00:00:01.200\n<u>so</u> long now",
        "00:00:01.200 --> 00:00:01.600\nso <u>long</u> now",
        "00:00:01.600 --> 00:00:02.000\nso long now",
        "00:00:02.000 --> 00:00:02.400\nso long <u>now</u>",
    ]


CROSSTALK = transcript(
    heard(("so", 1.0, 1.2), ("long", 1.2, 1.8), speaker="Ann & Al"),
    heard(("no", 1.1, 1.5), ("way", 1.5, 2.2), speaker="Bob"),
)


def test_two_voices_of_a_cue() -> None:
    assert CROSSTALK.to_srt() == (
        "1\n00:00:01,000 --> 00:00:02,200\n- Ann & Al: so long\n- Bob: no way"
    )
    assert CROSSTALK.to_vtt() == (
        "WEBVTT\n\n00:00:01.000 --> 00:00:02.200\n"
        "- <v Ann &amp; Al>so long</v>\n- <v Bob>no way</v>"
    )


def test_two_voices_are_highlighted_by_turns() -> None:
    cues = vtt(CROSSTALK, highlight_words=True)
    assert [(cue.start_ms, cue.marked) for cue in cues] == [
        (1000, "so"), (1200, "no"), (1500, "long"), (1800, "way"),
    ]  # fmt: skip


def test_words_without_times_of_their_own_are_not_highlighted() -> None:
    spoken = transcript(Segment(0, 2, "so long"))
    assert [cue.marked for cue in srt(spoken, highlight_words=True)] == [None]


def test_each_word_alone() -> None:
    spoken = transcript(heard(("so", 1.0, 1.2), ("long", 1.2, 1.6), ("now", 2.0, 2.4)))
    cues = srt(spoken, max_words_per_line=1, max_line_count=1, min_cue_s=0)
    assert [(cue.text, cue.start_ms, cue.end_ms) for cue in cues] == [
        ("so", 1000, 1200),
        ("long", 1200, 1600),
        ("now", 2000, 2400),
    ]


def test_accents_right_to_left_and_joined_signs_survive() -> None:
    said = "e\u0301te\u0301 שלום \u2067مرحبا\u2069 क्षत्रिय 👨\u200d👩\u200d👧 🇫🇷"
    for cues in (srt(transcript(Segment(0, 5, said))), vtt(transcript(Segment(0, 5, said)))):
        assert " ".join(cue.text.replace("\n", " ") for cue in cues) == said


def test_hours_of_more_than_two_digits() -> None:
    [cue] = srt(transcript(Segment(360_000, 360_001, "late")))
    assert (cue.start_ms, cue.end_ms) == (360_000_000, 360_001_000)


def test_nothing_said_makes_files_without_cues(tmp_path: Path) -> None:
    for name, expected in (("a.srt", "\n"), ("a.vtt", "WEBVTT\n"), ("a.tsv", "start\tend\ttext\n")):
        transcript(duration_s=3).save(tmp_path / name)
        assert (tmp_path / name).read_text() == expected


def test_save_takes_the_options(tmp_path: Path) -> None:
    spoken = transcript(Segment(0, 4, "one two three four"))
    options = SubtitleOptions(max_line_width=10)
    for suffix, text in (("srt", spoken.to_srt(options)), ("vtt", spoken.to_vtt(options))):
        spoken.save(tmp_path / f"a.{suffix}", options)
        assert (tmp_path / f"a.{suffix}").read_text() == text + "\n"
        assert "one two\nthree four" in text


def test_tsv_has_no_speakers_where_there_are_none() -> None:
    spoken = transcript(Segment(0.0004, 1.5, "a\tb\nc"), Segment(1.5, 2, " "))
    assert spoken.to_tsv() == "start\tend\ttext\n0\t1500\ta b c"


@pytest.mark.parametrize("duration_s", [0.0, 0.0005])
def test_words_in_no_time_at_all(duration_s: float) -> None:
    words = tuple(Word(0, 0, word, None) for word in "abc")
    spoken = transcript(Segment(0, 0, "a b c", words=words), duration_s=duration_s)
    [cue] = srt(spoken, highlight_words=True)
    assert cue.text == "a b c"
