"""What subtitles should look like; docs/subtitles.md gives the reasons for the defaults."""

from __future__ import annotations

from dataclasses import dataclass

LINE_WIDTH = 42
WIDE_LINE_WIDTH = 32  # 16 characters of two columns

_WHOLE_NUMBERS = {
    "max_line_width": (10, 1000),
    "max_line_count": (1, 10),
    "max_words_per_line": (1, 1000),
}
_NUMBERS = {"min_cue_s": (0.0, 60.0), "max_cue_s": (0.1, 60.0), "max_chars_per_s": (1.0, 1000.0)}
_MAY_BE_NONE = ("max_line_width", "max_words_per_line")


@dataclass(frozen=True)
class SubtitleOptions:
    """How SRT and WebVTT are laid out. ValueError names a value that makes no sense.

    Widths are columns: a wide (East Asian) character takes two, as it does of `max_chars_per_s`.
    `max_line_width` None is 42, or 32 where most of the text is wide. Widths, counts and
    `max_cue_s` always hold. `min_cue_s` and `max_chars_per_s` hold where there is time before
    the next words: nothing that was said is left out. `highlight_words` underlines each word
    while it is said, where word times are known.
    """

    max_line_width: int | None = None
    max_line_count: int = 2
    max_words_per_line: int | None = None
    min_cue_s: float = 1.0
    max_cue_s: float = 7.0
    max_chars_per_s: float = 20.0
    highlight_words: bool = False

    def __post_init__(self) -> None:
        for name, (least, most) in _WHOLE_NUMBERS.items():
            value = getattr(self, name)
            whole = isinstance(value, int) and not isinstance(value, bool)
            if not (whole and least <= value <= most) and not self._may_lack(name):
                raise ValueError(_refusal(name, "a whole number", least, most, value))
        for name, (low, high) in _NUMBERS.items():
            value = getattr(self, name)
            number = isinstance(value, int | float) and not isinstance(value, bool)
            if not (number and low <= value <= high):  # nan is not between any two
                raise ValueError(_refusal(name, "a number", low, high, value))
        if self.min_cue_s > self.max_cue_s:
            raise ValueError(
                f"min_cue_s ({self.min_cue_s:g}) must not be above max_cue_s ({self.max_cue_s:g})."
            )
        if not isinstance(self.highlight_words, bool):
            raise ValueError(
                f"highlight_words must be true or false, not {self.highlight_words!r}."
            )

    def _may_lack(self, name: str) -> bool:
        return name in _MAY_BE_NONE and getattr(self, name) is None


def _refusal(name: str, kind: str, least: float, most: float, value: object) -> str:
    return f"{name} must be {kind} from {least:g} to {most:g}, not {value!r}."
