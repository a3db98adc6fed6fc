import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from granite_mlx.transcript import Segment, Word
from granite_mlx.transcript.tags import parse_tags


def words(text: str, start_s: float = 0.0, end_s: float = 60.0) -> list[tuple[str, float, float]]:
    return [
        (word.text, word.start_s, word.end_s)
        for segment in parse_tags(text, start_s, end_s)
        for word in segment.words
    ]


def turns(text: str) -> list[tuple[str | None, str]]:
    return [(segment.speaker, segment.text) for segment in parse_tags(text, 0.0, 9.0)]


# Speakers


def test_turns() -> None:
    text = "[Speaker 1]: Hello how are you [Speaker 2]: I'm fine [Speaker 1]: I feel wonderful"
    assert parse_tags(text, 1.0, 9.0) == (
        Segment(1.0, 9.0, "Hello how are you", speaker="Speaker 1"),
        Segment(1.0, 9.0, "I'm fine", speaker="Speaker 2"),
        Segment(1.0, 9.0, "I feel wonderful", speaker="Speaker 1"),
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", []),
        ("no tags at all", [(None, "no tags at all")]),
        ("well [Speaker 1]: hello", [(None, "well"), ("Speaker 1", "hello")]),
        ("[Speaker 1]: [Speaker 2]: hello", [("Speaker 2", "hello")]),
        ("[Speaker 1]: a[Speaker 12]:b", [("Speaker 1", "a"), ("Speaker 12", "b")]),
        ("[Speaker 1] a", [("Speaker 1", "a")]),
        ("[Speaker 1]: a [Speaker 1]: b", [("Speaker 1", "a"), ("Speaker 1", "b")]),
        ("[Speaker 1]:", []),
        ("[Speaker 1]: a [Spea", [("Speaker 1", "a [Spea")]),  # cut off
        ("[Speaker one]: a", [(None, "[Speaker one]: a")]),
        ("snake_case _ is text", [(None, "snake_case _ is text")]),
    ],
)
def test_turns_that_are_not_as_they_should_be(
    text: str, expected: list[tuple[str | None, str]]
) -> None:
    assert turns(text) == expected


# Times


def test_the_words_of_the_model_card() -> None:
    assert parse_tags("hello [T:45] world [T:82]", 0.0, 2.0) == (
        Segment(
            0.0,
            0.82,
            "hello world",
            words=(Word(0.0, 0.45, "hello", None), Word(0.45, 0.82, "world", None)),
        ),
    )


def test_silences_are_no_words_but_take_time() -> None:
    text = "_ [T:50] hello [T:95] _ [T:300] world [T:340] _ [T:400]"
    assert words(text) == [("hello", 0.5, 0.95), ("world", 3.0, 3.4)]
    (segment,) = parse_tags(text, 0.0, 4.0)
    assert (segment.start_s, segment.end_s, segment.text) == (0.5, 3.4, "hello world")


def test_times_begin_anew_every_ten_seconds() -> None:
    text = "a [T:900] b [T:999] c [T:0] d [T:50] e [T:40] f [T:40]"
    assert [end for _, _, end in words(text)] == [9.0, 9.99, 10.0, 10.5, 20.4, 20.4]


def test_times_count_from_the_start_of_the_recording() -> None:
    assert words("a [T:50] b [T:80]", 100.0, 160.0) == [("a", 100.0, 100.5), ("b", 100.5, 100.8)]


def test_no_word_ends_behind_the_recording() -> None:
    assert words("a [T:90] b [T:230]", 0.0, 2.0) == [("a", 0.0, 0.9), ("b", 0.9, 2.0)]


def test_a_time_that_points_back_is_no_round_of_ten_seconds() -> None:
    text = "a [T:500] b [T:490] c [T:600]"
    assert words(text, 0.0, 8.0) == [("a", 0.0, 5.0), ("b", 5.0, 5.0), ("c", 5.0, 6.0)]


def test_words_without_a_time_have_the_span_in_which_they_lie() -> None:
    text = "a [T:100] b c [T:200] d e"
    assert words(text, 0.0, 3.0) == [
        ("a", 0.0, 1.0),
        ("b", 1.0, 2.0),
        ("c", 1.0, 2.0),
        ("d", 2.0, 3.0),
        ("e", 2.0, 3.0),
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[T:45] a [T:90]", [("a", 0.45, 0.9)]),
        ("a[T:45]b[T:90]", [("a", 0.0, 0.45), ("b", 0.45, 0.9)]),
        ("a [T:1045]", [("a", 0.0, 0.45)]),
        ("a [T:45", []),
        ("a [T:x] b", []),
        ("[T:45]", []),
    ],
)
def test_times_that_are_not_as_they_should_be(
    text: str, expected: list[tuple[str, float, float]]
) -> None:
    assert words(text) == expected


def test_speakers_and_times_together() -> None:
    text = "[Speaker 1]: hello [T:45] _ [T:90] [Speaker 2]: hi [T:120] there [T:150]"
    first, second = parse_tags(text, 10.0, 20.0)
    assert (first.speaker, first.start_s, first.end_s) == ("Speaker 1", 10.0, 10.45)
    assert (second.speaker, second.start_s, second.end_s) == ("Speaker 2", 10.9, 11.5)
    assert [word.text for word in second.words] == ["hi", "there"]


TOKENS = st.sampled_from(
    ["hello", "_", "l'été", "[Speaker 1]:", "[Speaker 2]:", "[T:", "]", "[Speaker", "[T:45]"]
) | st.integers(0, 1200).map("[T:{}]".format)


@settings(deadline=None, max_examples=300)
@given(tokens=st.lists(TOKENS, max_size=30), start_s=st.sampled_from([0.0, 7.25]))
def test_whatever_the_model_writes(tokens: list[str], start_s: float) -> None:
    end_s = start_s + 12.0
    text = " ".join(tokens)
    segments = parse_tags(text, start_s, end_s)
    timed = re.search(r"\[T:\d+\]", text) is not None
    times = [start_s]
    for segment in segments:
        assert segment.text == " ".join(segment.text.split()) != ""
        if timed:
            assert segment.text == " ".join(word.text for word in segment.words)
            assert segment.start_s == segment.words[0].start_s
            assert segment.end_s == segment.words[-1].end_s
        else:
            assert (segment.start_s, segment.end_s, segment.words) == (start_s, end_s, ())
        times += [word.end_s for word in segment.words]
        assert all(word.start_s <= word.end_s for word in segment.words)
    assert times == sorted(times)
    assert times[-1] <= end_s
    said = re.sub(r"\[Speaker \d+\]:?|\[T:\d+\]", " ", text).split()
    kept = [word for word in said if word != "_" or not timed]
    assert " ".join(segment.text for segment in segments).split() == kept
