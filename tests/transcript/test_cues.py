"""Cues: what is shown together, for how long, and that no word is lost on the way."""

from itertools import pairwise
from random import Random

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from granite_mlx.transcript import Segment, SubtitleOptions, Transcript
from granite_mlx.transcript.characters import is_wide
from granite_mlx.transcript.cue import Cue
from granite_mlx.transcript.cues import make_cues
from granite_mlx.transcript.lines import line_text

from .spoken import OPTIONS, characters_of, columns_of, heard, transcript, transcripts

JOINED = ("\u200d", "🇫🇷", "\u0915\u094d")  # several characters that make one sign

thorough = settings(deadline=None, suppress_health_check=list(HealthCheck), max_examples=60)


def srt_label(name: str) -> str:
    return f"{name}: "


def cues_of(transcript: Transcript, **options: object) -> tuple[Cue, ...]:
    return make_cues(transcript, SubtitleOptions(**options), srt_label)


def texts(cues: tuple[Cue, ...]) -> list[list[str]]:
    return [[line_text(line) for line in cue.lines] for cue in cues]


def labels(cues: tuple[Cue, ...]) -> list[str]:
    return [turn.label for cue in cues for turn in cue.turns]


def times_s(cues: tuple[Cue, ...]) -> list[tuple[float, float]]:
    return [(cue.start_ms / 1000, cue.end_ms / 1000) for cue in cues]


# Properties


@thorough
@given(transcripts(), OPTIONS)
def test_every_character_is_shown_once_and_in_order(
    spoken: Transcript, options: SubtitleOptions
) -> None:
    cues = make_cues(spoken, options, srt_label)
    shown = "".join(line_text(line) for cue in cues for line in cue.lines)
    assert characters_of(shown) == characters_of("".join(s.text for s in spoken.segments))


@thorough
@given(transcripts(), OPTIONS)
def test_no_cue_is_empty_too_long_or_over_another(
    spoken: Transcript, options: SubtitleOptions
) -> None:
    cues = make_cues(spoken, options, srt_label)
    for cue in cues:
        assert 0 < cue.end_ms - cue.start_ms <= options.max_cue_s * 1000
        assert all(line_text(line).strip() for line in cue.lines)
    for before, after in pairwise(cues):
        assert before.end_ms <= after.start_ms
    if cues:
        assert cues[0].start_ms >= 0
        assert cues[-1].end_ms <= round(spoken.duration_s * 1000)


def assert_fits(cue: Cue, options: SubtitleOptions) -> None:
    """Its width and its counts hold."""
    assert len(cue.lines) <= options.max_line_count
    for turn in cue.turns:
        for number, line in enumerate(turn.lines):
            text = (turn.label if number == 0 else "") + line_text(line)
            assert len({piece.word for piece in line}) <= (options.max_words_per_line or 1000)
            if not any(sign in text for sign in JOINED):
                assert columns_of(text) <= (options.max_line_width or 42)


@thorough
@given(transcripts(), OPTIONS)
def test_widths_and_counts_hold(spoken: Transcript, options: SubtitleOptions) -> None:
    for cue in make_cues(spoken, options, srt_label):
        assert_fits(cue, options)


@thorough
@given(transcripts(), OPTIONS)
def test_words_stay_whole_unless_they_are_longer_than_a_line(
    spoken: Transcript, options: SubtitleOptions
) -> None:
    cues = make_cues(spoken, options, lambda name: "")
    pieces = [piece for cue in cues for piece in cue.pieces]
    ends = {id(line[-1]) for cue in cues for line in cue.lines}
    for before, after in pairwise(pieces):
        if id(before) in ends and before.word == after.word and not before.ends_segment:
            wide = is_wide(before.text[-1]) or is_wide(after.text[0])
            assert wide or before.columns + after.columns > (options.max_line_width or 32)


@thorough
@given(transcripts(least_word_ms=50), OPTIONS)
def test_cues_come_with_their_first_word_and_stay_to_be_read(
    spoken: Transcript, options: SubtitleOptions
) -> None:
    assume(all(segment.words for segment in spoken.segments if segment.text.strip()))
    cues = make_cues(spoken, options, srt_label)
    bounds = [cue.start_ms for cue in cues[1:]] + [round(spoken.duration_s * 1000)]
    for cue, bound_ms in zip(cues, bounds, strict=len(cues) > 0):
        assert cue.start_ms == cue.pieces[0].start_ms
        shown_ms = cue.end_ms - cue.start_ms
        columns = sum(columns_of(line_text(line)) for line in cue.lines)
        if any(sign in line_text(line) for line in cue.lines for sign in JOINED):
            continue
        at_most = cue.end_ms == bound_ms or shown_ms == options.max_cue_s * 1000
        assert at_most or shown_ms >= options.min_cue_s * 1000
        assert at_most or shown_ms + 1 >= columns / options.max_chars_per_s * 1000


@thorough
@given(transcripts(), transcripts(), OPTIONS)
def test_speakers_at_the_same_time_lose_no_word_and_keep_their_order(
    left: Transcript, right: Transcript, options: SubtitleOptions
) -> None:
    sides = {"left": left, "right": right}
    both = transcript(
        *(
            Segment(s.start_s, s.end_s, s.text, None, side, s.words)
            for side, spoken in sides.items()
            for s in spoken.segments
        ),
        duration_s=max(left.duration_s, right.duration_s),
    )
    cues = make_cues(both, options, srt_label)
    assert all(before.end_ms <= after.start_ms for before, after in pairwise(cues))
    assert all(cue.start_ms < cue.end_ms for cue in cues)
    turns = [turn for cue in cues for turn in cue.turns]
    for side, spoken in sides.items():
        lines = [line for turn in turns if turn.speaker == side for line in turn.lines]
        shown = "".join(map(line_text, lines))
        assert characters_of(shown) == characters_of("".join(s.text for s in spoken.segments))
    for cue in cues:
        assert len(set(cue.speakers)) == len(cue.turns)
        assert_fits(cue, options)
    for before, cue in pairwise((None, *cues)):
        told = len(cue.turns) > 1 or before is None or before.speakers != cue.speakers
        assert all(bool(turn.label) == told for turn in cue.turns)
        assert all(turn.label.startswith("- ") == (len(cue.turns) > 1) for turn in cue.turns)


@settings(deadline=None)
@given(st.integers(0, 30), st.integers(0, 20))
def test_more_texts_than_milliseconds(n_segments: int, duration_ms: int) -> None:
    segments = (Segment(0.0, duration_ms / 1000, "a", None, f"{i}") for i in range(n_segments))
    cues = cues_of(transcript(*segments, duration_s=duration_ms / 1000), max_line_count=1)
    assert len(cues) == n_segments
    assert all(cue.start_ms < cue.end_ms for cue in cues)
    assert all(before.end_ms <= after.start_ms for before, after in pairwise(cues))


# Cases made by hand


def test_nothing_said_is_no_cue() -> None:
    assert cues_of(transcript(Segment(0, 3, " \n"), Segment(3, 4, ""))) == ()


def test_a_cue_ends_with_the_sentence_and_a_line_with_the_clause() -> None:
    said = (
        "When we had eaten, we went down to the harbour to see the boats. "
        "Nobody was there, not even the old man who sells the fish."
    )
    assert texts(cues_of(transcript(Segment(0, 10, said)))) == [
        ["When we had eaten, we went down", "to the harbour to see the boats."],
        ["Nobody was there,", "not even the old man who sells the fish."],
    ]


@pytest.mark.parametrize("pause_s", [0.3, 0.7])
def test_a_break_is_at_a_pause_where_nothing_is_punctuated(pause_s: float) -> None:
    before, after = "so that was it we saw the first", "of them when we had turned round"
    words, now_s = [], 0.0
    for word in (*before.split(), "|", *after.split()):
        if word == "|":
            now_s += pause_s
        else:
            words.append((word, now_s, now_s + 0.25))
            now_s += 0.25
    shown = texts(cues_of(transcript(heard(*words))))
    assert shown == ([[before, after]] if pause_s < 0.6 else [[before], [after]])


def test_a_line_does_not_end_with_a_small_word() -> None:
    said = "she has given the keys of the house to the neighbour"
    [lines] = texts(cues_of(transcript(Segment(0, 4, said)), max_line_width=32))
    assert lines == ["she has given the keys", "of the house to the neighbour"]


def test_a_cue_does_not_go_on_over_a_rest() -> None:
    cues = cues_of(transcript(heard(("one", 0, 0.4), ("two", 2.4, 2.8)), duration_s=10))
    assert texts(cues) == [["one"], ["two"]]
    assert times_s(cues) == [(0, 1), (2.4, 3.4)]


def test_short_answers_of_one_speaker_share_a_cue() -> None:
    cues = cues_of(transcript(Segment(0, 0.4, "Yes."), Segment(0.5, 1.2, "I do.")))
    assert texts(cues) == [["Yes. I do."]]


def test_a_cue_stays_until_it_is_read() -> None:
    word = "incomprehensibilities", 0.0, 0.2  # 21 columns
    [cue] = cues_of(transcript(heard(word), duration_s=10), max_chars_per_s=10)
    assert (cue.start_ms, cue.end_ms) == (0, 2100)


def test_a_gap_too_short_to_be_meant_is_closed() -> None:
    words = [("one.", 0.0, 1.5), ("two.", 1.7, 3.0), ("three.", 3.3, 5.0)]
    segments = (heard(word, speaker=word[0]) for word in words)
    cues = make_cues(transcript(*segments), SubtitleOptions(), lambda name: "")
    assert times_s(cues) == [(0, 1.7), (1.7, 3.0), (3.3, 5.0)]


def test_a_word_held_for_long_leaves_in_time() -> None:
    assert times_s(cues_of(transcript(heard(("aaah", 1, 20))))) == [(1, 8)]


def test_two_who_begin_together_share_the_time_of_a_single_line() -> None:
    both = transcript(Segment(0, 2, "hello", None, "A"), Segment(0, 2, "hi", None, "B"))
    assert times_s(cues_of(both, max_line_count=1)) == [(0, 1), (1, 2)]


def test_two_who_speak_at_once_have_a_line_each() -> None:
    long, short = "i am looking for the blue bicycle of my brother in Berlin", "that is right"
    cues = cues_of(
        transcript(Segment(0, 5, long, None, "A"), Segment(1, 5, short, None, "B"), duration_s=9)
    )
    assert texts(cues) == [
        ["i am looking for the blue bicycle", "that is right"],
        ["of my brother in Berlin"],
    ]
    assert labels(cues) == ["- A: ", "- B: ", "A: "]
    assert times_s(cues) == [(0, 2.934), (2.934, 5)]


def test_an_answer_that_comes_too_soon_shares_the_cue_of_the_question() -> None:
    talk = [heard(("Is it?", 0.0, 0.3), speaker="A"), heard(("It is.", 0.4, 0.8), speaker="B")]
    cues = cues_of(transcript(*talk, duration_s=9))
    assert (texts(cues), times_s(cues)) == ([["Is it?", "It is."]], [(0, 1.1)])


def test_who_speaks_at_once_without_a_name_has_a_dash() -> None:
    cues = cues_of(transcript(Segment(0, 2, "hello", None, "A"), Segment(0, 2, "hi")))
    assert labels(cues) == ["- A: ", "- "]


def test_a_word_without_room_beside_a_dash_takes_turns() -> None:
    both = transcript(Segment(0, 4, "x" * 18, None, "A"), Segment(0, 4, "y" * 9, None, "B"))
    cues = cues_of(both, max_line_width=21)
    assert [cue.speakers for cue in cues] == [("A",), ("B",)]
    assert [cue.speakers for cue in cues_of(both, max_line_width=23)] == [("A", "B")]


def test_a_rest_parts_the_lines_of_who_speaks_at_once() -> None:
    said = heard(("one", 0, 1), ("two", 8, 9), speaker="A")
    cues = cues_of(transcript(said, Segment(0, 9, "and so on " * 9, None, "B")), max_cue_s=60)
    [first] = [cue for cue in cues if "one" in line_text(cue.lines[0])]
    [last] = [cue for cue in cues if any("two" in line_text(line) for line in cue.lines)]
    assert first.end_ms < last.start_ms


@pytest.mark.parametrize("n_speakers", [2, 3])
@pytest.mark.parametrize("seed", range(5))
def test_who_talk_all_the_time_are_neither_late_nor_gone_at_once(
    n_speakers: int, seed: int
) -> None:
    """Two lines of two speakers, or of three, keep up with what is said for minutes."""
    random = Random(seed)
    segments = []
    for speaker in range(n_speakers):
        now_s = random.uniform(0, 3)
        while now_s < 120:
            n_words = random.choice([1, 1, 2, 4, 8, 14])
            words = [(f"word{i}", now_s + 0.3 * i, now_s + 0.3 * i + 0.3) for i in range(n_words)]
            segments.append(heard(*words, speaker=f"{speaker}"))
            now_s += 0.3 * n_words + random.uniform(0.3, 0.6)
    cues = cues_of(transcript(*segments, duration_s=130))
    late_ms = [cue.start_ms - min(piece.start_ms for piece in cue.pieces) for cue in cues]
    assert min(late_ms) >= 0
    assert max(late_ms) <= 2000
    shown_ms = sorted(cue.end_ms - cue.start_ms for cue in cues)
    assert shown_ms[len(cues) // 10] >= 900


@pytest.mark.parametrize(("n_speakers", "n_lines"), [(4, 2), (6, 2), (8, 3)])
def test_more_at_once_than_lines_do_not_fall_ever_further_behind(
    n_speakers: int, n_lines: int
) -> None:
    words = [(f"word{i}", 0.3 * i, 0.3 * i + 0.3) for i in range(600)]
    segments = [
        heard(*((word, a + 0.1 * n, b + 0.1 * n) for word, a, b in words), speaker=f"{n}")
        for n in range(n_speakers)
    ]
    cues = cues_of(transcript(*segments, duration_s=182), max_line_count=n_lines)
    late_ms = [cue.start_ms - min(piece.start_ms for piece in cue.pieces) for cue in cues]
    assert min(late_ms) >= 0
    assert max(late_ms) <= 4000
    assert min(cue.end_ms - cue.start_ms for cue in cues) >= 200


def test_a_speaker_is_told_again_after_another_was_heard_in_between() -> None:
    long = Segment(0, 20, "and so on and on " * 16, None, "Ann")
    cues = cues_of(transcript(long, Segment(8, 9, "hm", None, "Bob")))
    place = next(i for i, cue in enumerate(cues) if "Bob" in cue.speakers)
    assert 0 < place < len(cues) - 1
    assert labels(cues[:2]) == ["Ann: ", ""]
    assert labels(cues[place:])[:4] == ["- Ann: ", "- Bob: ", "Ann: ", ""]


def test_a_name_takes_room_in_the_first_line() -> None:
    said = "one two three four five six seven"
    [cue] = cues_of(transcript(Segment(0, 4, said, None, "Speaker 1")))
    assert texts((cue,)) == [["one two three", "four five six seven"]]
    assert labels((cue,)) == ["Speaker 1: "]


def test_a_long_name_is_shortened_to_half_a_line() -> None:
    [cue] = cues_of(transcript(Segment(0, 4, "yes", None, "x" * 99)))
    assert labels((cue,)) == ["x" * 18 + "…: "]


@pytest.mark.parametrize(
    ("said", "lines"),
    [
        ("今日はとても良い天気なので公園まで散歩", ["今日はとても良い", "天気なので公園まで散歩"]),
        (
            "新しい本、ニュース、コーヒーとケーキですか",
            ["新しい本、ニュース、", "コーヒーとケーキですか"],
        ),
        ("東京的地铁非常拥挤每天都有很多人乘坐它", ["東京的地铁非常拥挤", "每天都有很多人乘坐它"]),
    ],
)
def test_wide_text_is_broken_between_characters(said: str, lines: list[str]) -> None:
    assert texts(cues_of(transcript(Segment(0, 6, said)))) == [lines]


def test_wide_segments_meet_without_a_space() -> None:
    cues = cues_of(transcript(Segment(0, 1, "おはよう"), Segment(1, 2, "世界")))
    assert texts(cues) == [["おはよう世界"]]


@pytest.mark.parametrize(
    "said",
    ["Comment ça va aujourd'hui ?", "« Comment ça va aujourd'hui »", "Aujourd'hui : ( rien )"],
)
@pytest.mark.parametrize("n_columns", range(13, 30))
def test_punctuation_that_stands_alone_begins_or_ends_no_line(said: str, n_columns: int) -> None:
    cues = cues_of(transcript(Segment(0, 4, said)), max_line_width=n_columns)
    for line in (line for lines in texts(cues) for line in lines):
        assert line[0] not in "?»:)"
        assert line[-1] not in "«("


def test_words_without_punctuation_lend_their_times_to_the_text() -> None:
    segment = heard(("hello", 1, 2), ("world", 3, 4), text="« Hello, » world!")
    [cue] = cues_of(transcript(segment))
    assert [(p.text, p.start_ms, p.end_ms) for p in cue.pieces] == [
        ("« Hello, »", 1000, 2000),
        ("world!", 3000, 4000),
    ]


def test_words_that_are_not_those_of_the_text_lend_no_times() -> None:
    segment = heard(("good", 1, 2), ("bye", 2, 4), text="a b c")
    [cue] = cues_of(transcript(segment))
    assert [(p.text, p.start_ms, p.end_ms, p.timed) for p in cue.pieces] == [
        ("a", 1000, 2000, False),
        ("b", 2000, 3000, False),
        ("c", 3000, 4000, False),
    ]


def test_a_word_longer_than_a_line_is_cut_between_signs() -> None:
    cues = cues_of(transcript(Segment(0, 6, "e\u0301" * 25)), max_line_width=10)
    lines = [line for lines in texts(cues) for line in lines]
    assert lines == ["e\u0301" * 10, "e\u0301" * 10, "e\u0301" * 5]


@pytest.mark.parametrize("n_columns", range(10, 33))
def test_closing_marks_and_small_kana_begin_no_line_and_opening_ones_end_none(
    n_columns: int,
) -> None:
    said = "「ちょっと、コーヒーを（飲み）ませんか」と、『シェフ』が言っていました。"
    cues = cues_of(transcript(Segment(0, 30, said)), max_line_width=n_columns)
    for line in (line for lines in texts(cues) for line in lines):
        assert line[0] not in "、。」』）ょっーェ"
        assert line[-1] not in "「『（"


@pytest.mark.parametrize("n_columns", range(10, 43))
@pytest.mark.parametrize("n_lines", [1, 2, 3])
def test_every_width_and_count(n_columns: int, n_lines: int) -> None:
    said = "a bc def ghij klmno pqrstu vwxyzab 今日は cdefghijk lmnopqrstu " * 3
    spoken = transcript(Segment(0, 60, said, None, "Al"))
    cues = cues_of(spoken, max_line_width=n_columns, max_line_count=n_lines)
    for cue in cues:
        assert len(cue.lines) <= n_lines
        first, *others = map(line_text, cue.lines)
        assert columns_of(cue.turns[0].label + first) <= n_columns
        assert all(columns_of(line) <= n_columns for line in others)


def test_a_cue_too_short_to_be_seen_takes_some_of_the_next_sentence() -> None:
    said = "oh. i see very well, my friend, what you have meant by all of that these last few days."
    words = [(word, i * 0.2, i * 0.2 + 0.2) for i, word in enumerate(said.split())]
    shown = texts(cues_of(transcript(heard(*words), duration_s=9), max_chars_per_s=100))
    assert shown == [
        ["oh. i see very well, my friend,"],
        ["what you have meant by all", "of that these last few days."],
    ]


@pytest.mark.parametrize(
    ("word", "n_columns"),
    [("word", 42), ("слово", 42), ("한국어를", 32), ("日本語と", 32), ("ｶﾀｶﾅ", 42)],
)
def test_lines_are_shorter_where_most_of_the_text_is_wide(word: str, n_columns: int) -> None:
    widths = [
        columns_of(line)
        for lines in texts(cues_of(transcript(Segment(0, 90, f"{word} " * 90))))
        for line in lines
    ]
    assert n_columns - 10 < max(widths) <= n_columns
