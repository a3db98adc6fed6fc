"""Characters: what is seen as one, and how wide it is."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from granite_mlx.transcript.characters import clean, clusters, joined, split, unspaced_parts, width


@pytest.mark.parametrize(
    ("text", "seen", "columns"),
    [
        ("", [], 0),
        ("abc", ["a", "b", "c"], 3),
        ("e\u0301x", ["e\u0301", "x"], 2),
        ("é", ["é"], 1),
        ("今日", ["今", "日"], 4),
        ("が\u3099", ["が\u3099"], 2),
        ("ｶﾅ", ["ｶ", "ﾅ"], 2),
        ("Ａ", ["Ａ"], 2),
        ("한국", ["한", "국"], 4),
        ("\u1112\u1161\u11ab", ["\u1112\u1161\u11ab"], 2),
        ("שָׁ", ["שָׁ"], 1),
        ("👨\u200d👩\u200d👧!", ["👨\u200d👩\u200d👧", "!"], 3),
        ("👍🏽", ["👍🏽"], 2),
        ("❤\ufe0f", ["❤\ufe0f"], 2),
        ("🇫🇷🇩🇪", ["🇫🇷", "🇩🇪"], 4),
        ("a\u200db", ["a\u200d", "b"], 2),
        ("\u0301", ["\u0301"], 0),
    ],
)
def test_what_is_seen_as_one(text: str, seen: list[str], columns: int) -> None:
    assert clusters(text) == seen
    assert width(text) == columns


@settings(deadline=None)
@given(st.text())
def test_nothing_is_lost(text: str) -> None:
    assert "".join(clusters(text)) == text
    assert width(text) == sum(map(width, clusters(text))) <= 2 * len(text)
    assert all(part and part == part.strip() for part in split(text))


@settings(deadline=None)
@given(st.text(alphabet="ab今日はッー。「」（）、々!?\u3099", min_size=1))
def test_lines_may_end_between_the_parts(text: str) -> None:
    parts = unspaced_parts(text)
    assert "".join(parts) == text
    assert all(part[0] not in "ッー。」）、々!?\u3099" for part in parts[1:])
    assert all(part[-1] not in "「（" for part in parts[:-1])


def test_a_word_without_end() -> None:
    """It was copied once for each of its characters."""
    word = "é" * 1_000_000
    assert unspaced_parts(word) == [word]


def test_white_space_divides_and_no_break_spaces_do_not() -> None:
    assert split(" a\tb\n\n10\u00a0000 \u3000今\u2028日 \u00a0 \x1f") == [
        "a", "b", "10\u00a0000", "今", "日",
    ]  # fmt: skip


def test_what_no_file_should_hold_is_cleaned_away() -> None:
    assert clean("a\x00b\ufeffc\ud800d\x1b\n") == "abc\ufffdd\n"


@pytest.mark.parametrize(
    ("texts", "whole"),
    [
        ([], ""),
        (["", "a", "", "b"], "a b"),
        (["今日は", "いい天気です。", "はい"], "今日はいい天気です。はい"),
        (["今日は", "OK", "です"], "今日は OK です"),
        (["안녕", "하세요"], "안녕 하세요"),  # Korean has spaces
        (["か\u3099", "が"], "か\u3099が"),
    ],
)
def test_texts_are_joined_as_their_script_is_written(texts: list[str], whole: str) -> None:
    assert joined(texts) == whole
