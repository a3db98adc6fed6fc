"""What counts as a difference between two texts: the rules that both go through before scoring.

"whisper" is the Open ASR leaderboard's: Whisper's rules for English (numbers as digits, American
spelling, contractions written out, no punctuation), its basic rules for all other languages.
"basic" has only the latter: lower case, no punctuation. "none" parts a text at its spaces.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Literal

from granite_mlx.evaluate.errors import EvaluationError
from granite_mlx.transcript.types import LANGUAGES_WITHOUT_SPACES

NormalizerName = Literal["whisper", "basic", "none"]
NORMALIZERS: tuple[NormalizerName, ...] = ("whisper", "basic", "none")

ENGLISH = "en"

Tokens = Callable[[str, str | None], list[str]]
"""A text and its language, None where that is not known -> its words."""

_ELLIPSIS = re.compile(r"\s*\.{3,}\s*")
_DOTTED = re.compile(r"\b[a-z](?:\.[a-z]){1,3}\b\.?")
NOT_THE_LEADERBOARDS = ("kinda", "sorta", "dunno", "cause")
"""Words that whisper-normalizer writes out and the leaderboard leaves as they are."""


def tokens_with(name: NormalizerName) -> Tokens:
    """The function that makes words of a text. Where no spaces are written, each character is one.

    Raises:
        EvaluationError: the package with the rules is not installed.
    """
    if name == "none":
        return lambda text, language: _parted(text, language)
    try:
        from whisper_normalizer.basic import BasicTextNormalizer
        from whisper_normalizer.english import EnglishTextNormalizer
    except ImportError as error:
        raise EvaluationError(
            f"--normalizer {name} needs the package whisper-normalizer; install it with pip "
            "install 'granite-mlx[eval]', or take --normalizer none."
        ) from error
    basic = BasicTextNormalizer()
    if name == "basic":
        return lambda text, language: _parted(basic(text), language)
    english = _leaderboard(EnglishTextNormalizer(), basic)

    def tokens(text: str, language: str | None) -> list[str]:
        # Nobody knows: the leaderboard's sets are English and do not say so.
        normalise = english if language in (ENGLISH, None) else basic
        return _parted(normalise(text), language)

    return tokens


def _leaderboard(
    whisper: Callable[[str], str], basic: Callable[[str], str]
) -> Callable[[str], str]:
    """Whisper's English rules with what the leaderboard has done to them: no ellipses, and
    initials with points between them as one word."""
    for word in NOT_THE_LEADERBOARDS:
        getattr(whisper, "replacers", {}).pop(rf"\b{word}\b", None)

    def normalise(text: str) -> str:
        text = _ELLIPSIS.sub(" ", text.lower())
        text = _DOTTED.sub(lambda initials: initials[0].replace(".", ""), text)
        try:
            return whisper(text)
        except Exception:
            # Its rules for numbers fail on thousands of digits, which a loop of a decoder can be.
            return basic(text)

    return normalise


def _parted(text: str, language: str | None) -> list[str]:
    if language in LANGUAGES_WITHOUT_SPACES:
        return [character for character in text if not character.isspace()]
    return text.split()
