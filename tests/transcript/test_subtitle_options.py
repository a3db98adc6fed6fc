"""Options of subtitles: those that make no sense are refused in one sentence."""

import dataclasses

import pytest

from granite_mlx import SubtitleOptions


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"max_line_width": 9}, "max_line_width must be a whole number from 10 to 1000, not 9."),
        ({"max_line_width": 42.0}, "max_line_width must be a whole number from 10 to 1000"),
        ({"max_line_width": "42"}, "not '42'"),
        ({"max_line_count": 0}, "max_line_count must be a whole number from 1 to 10, not 0."),
        ({"max_line_count": None}, "not None"),
        ({"max_line_count": True}, "not True"),
        ({"max_words_per_line": -1}, "max_words_per_line must be a whole number from 1 to 1000"),
        ({"min_cue_s": -1}, "min_cue_s must be a number from 0 to 60, not -1."),
        ({"max_cue_s": 0}, "max_cue_s must be a number from 0.1 to 60, not 0."),
        ({"max_cue_s": float("nan")}, "not nan"),
        ({"max_chars_per_s": float("inf")}, "max_chars_per_s must be a number from 1 to 1000"),
        ({"max_chars_per_s": 10**400}, "max_chars_per_s must be a number from 1 to 1000"),
        ({"max_cue_s": 0.5}, "min_cue_s (1) must not be above max_cue_s (0.5)."),
        ({"highlight_words": 1}, "highlight_words must be true or false, not 1."),
    ],
)
def test_what_makes_no_sense_is_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=r"^[^\n]+\.$") as caught:
        SubtitleOptions(**options)
    assert message in str(caught.value)


def test_they_cannot_be_changed() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        SubtitleOptions().max_line_count = 3
