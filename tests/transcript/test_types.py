"""What the transcript's values say about themselves."""

import dataclasses

import pytest

from granite_mlx.transcript import Segment, Transcript, Word


def transcript(
    *segments: Segment, language: str | None = None, target: str | None = None
) -> Transcript:
    return Transcript(
        segments=segments,
        language=language,
        target_language=target,
        task="translate" if target else "transcribe",
        duration_s=4.0,
        model="demo",
    )


def test_text_joins_the_segments_that_have_text() -> None:
    t = transcript(Segment(0, 1, "good"), Segment(1, 2, ""), Segment(2, 3, "morning"))
    assert t.text == "good morning"


def test_text_of_nothing_is_empty() -> None:
    assert transcript().text == ""


@pytest.mark.parametrize(
    ("language", "target", "texts", "text"),
    [
        ("ja", None, ("おはよう", "世界"), "おはよう世界"),
        ("ja", None, ("おはよう", "OK"), "おはようOK"),
        ("en", "zh", ("你好", "世界"), "你好世界"),
        (None, None, ("おはよう", "世界"), "おはよう世界"),  # two languages, say
        (None, None, ("おはよう", "OK"), "おはよう OK"),
        ("ja", "en", ("good", "morning"), "good morning"),
    ],
)
def test_chinese_and_japanese_are_joined_without_spaces(
    language: str | None, target: str | None, texts: tuple[str, str], text: str
) -> None:
    first, second = texts
    t = transcript(Segment(0, 1, first), Segment(1, 2, second), language=language, target=target)
    assert t.text == text


def test_words_are_those_of_all_segments_in_order() -> None:
    one, two, three = (Word(i, i + 1, name, None) for i, name in enumerate(("a", "b", "c")))
    t = transcript(Segment(0, 2, "a b", words=(one, two)), Segment(2, 3, "c", words=(three,)))
    assert t.words == (one, two, three)


def test_a_transcript_cannot_be_changed() -> None:
    t = transcript()
    with pytest.raises(dataclasses.FrozenInstanceError):
        t.model = "other"
