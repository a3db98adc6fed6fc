"""Characters as a reader sees them: what belongs together, how wide it is, where lines may end."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from itertools import pairwise

ZERO_WIDTH_JOINER = "\u200d"
EMOJI_STYLE = "\ufe0f"
SPACES = re.compile(r"[^\S\u00a0\u2007\u202f]+")  # all but those that hold two words together
REPLACEMENT = "\ufffd"

CLOSING = frozenset(
    "!?,.:;…‥%‰°¢′″"
    "、。，．：；？！・゠ゝゞヽヾ々〻ー〜～゛゜％‼⁇⁈⁉"
    "ぁぃぅぇぉっゃゅょゎゕゖァィゥェォッャュョヮヵヶㇰㇱㇲㇳㇴㇵㇶㇷㇸㇹㇺㇻㇼㇽㇾㇿ"
    "،؛؟۔।॥"
)
"""What never begins a line, beside closing brackets and quotes (JIS X 4051's non-starters)."""

OPENING = frozenset("¿¡")


def clean(text: str) -> str:
    """The text without control characters, apart from white space, and without lone surrogates."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(
        REPLACEMENT if "\ud800" <= char <= "\udfff" else char
        for char in text
        if char.isspace() or not (unicodedata.category(char) == "Cc" or char == "\ufeff")
    )


def split(text: str) -> list[str]:
    """The parts between white space; a no-break space stays within its part."""
    return [part for piece in SPACES.split(clean(text)) if (part := piece.strip())]


def joined(texts: Iterable[str], space: str = " ") -> str:
    """Texts one behind the other: a space between, but not between Chinese or Japanese ones."""
    parts: list[str] = []
    for text in filter(None, texts):
        if parts:
            parts.append(between(parts[-1], text, space))
        parts.append(text)
    return "".join(parts)


def between(before: str, after: str, space: str = " ") -> str:
    """What `joined` puts between two texts."""
    return "" if is_wide(clusters(before)[-1]) and is_wide(after[0]) else space


def clusters(text: str) -> list[str]:
    """The text as what is seen as one character each: letter and accents, syllable, emoji, flag.

    A short form of Unicode's extended grapheme clusters (UAX #29).
    """
    if text.isascii():
        return list(text)
    starts = [0]
    for index in range(1, len(text)):
        if not _continues(text, starts[-1], index):
            starts.append(index)
    return [text[start:end] for start, end in pairwise([*starts, len(text)])]


def width(text: str) -> int:
    """How many columns the text takes: two for each wide character (UAX #11), none for accents."""
    if text.isascii():
        return len(text)
    return sum(_cluster_width(cluster) for cluster in clusters(text))


def is_wide(cluster: str) -> bool:
    """Whether it is of a script that is written without spaces, two columns a character."""
    return unicodedata.east_asian_width(cluster[0]) in "WF" and not _is_hangul(cluster[0])


def closes(char: str) -> bool:
    """Whether no line may begin with it."""
    return char in CLOSING or unicodedata.category(char) in ("Pe", "Pf")


def opens(char: str) -> bool:
    """Whether no line may end with it."""
    return char in OPENING or unicodedata.category(char) in ("Ps", "Pi")


def unspaced_parts(text: str) -> list[str]:
    """A text without spaces, cut wherever Chinese and Japanese lines may end (after UAX #14)."""
    if text.isascii():
        return [text]
    found = clusters(text)
    starts = [0]
    for index, (before, after) in enumerate(pairwise(found), start=1):
        wide = is_wide(before) or is_wide(after)
        if wide and not opens(before[0]) and not closes(after[0]):
            starts.append(index)
    return ["".join(found[start:end]) for start, end in pairwise([*starts, len(found)])]


def _continues(text: str, start: int, index: int) -> bool:
    """Whether text[index] belongs to the cluster that begins at `start`."""
    char = text[index]
    if unicodedata.category(char) in ("Mn", "Me", "Mc", "Cf") or _is_skin_tone(char):
        return True
    if "\u1160" <= char <= "\u11ff":  # vowels and finals of a Hangul syllable
        return True
    if text[index - 1] == ZERO_WIDTH_JOINER:
        return unicodedata.category(char) == "So"
    return _is_flag_half(char) and start == index - 1 and _is_flag_half(text[start])


def _cluster_width(cluster: str) -> int:
    first = cluster[0]
    if unicodedata.east_asian_width(first) in "WF" or EMOJI_STYLE in cluster:
        return 2
    if len(cluster) == 2 and _is_flag_half(first):
        return 2
    return 0 if unicodedata.category(first) in ("Mn", "Me", "Cf") else 1


def _is_hangul(char: str) -> bool:
    return (
        "\uac00" <= char <= "\ud7a3" or "\u1100" <= char <= "\u11ff" or "\u3130" <= char <= "\u318f"
    )


def _is_skin_tone(char: str) -> bool:
    return "\U0001f3fb" <= char <= "\U0001f3ff"


def _is_flag_half(char: str) -> bool:
    return "\U0001f1e6" <= char <= "\U0001f1ff"
