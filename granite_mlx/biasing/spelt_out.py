"""How terms are said that are not read as a word: abbreviations, digits and signs."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from itertools import pairwise

LONGEST_ABBREVIATION = 6

_LETTERS = dict(
    zip(
        "abcdefghijklmnopqrstuvwxyz",
        "ay bee see dee ee eff jee aitch eye jay kay ell em en oh pee cue ar ess tee you vee "
        "double-you ex why zee".split(),
        strict=True,
    )
)
_SIGNS = {
    "+": ("plus",), "#": ("sharp", "hash"), "&": ("and", "et", "und", "y", "e"), "@": ("at",),
    "%": ("percent", "pour cent"), "0": ("zero", "oh", "null"), "1": ("one", "un", "eins", "uno"),
    "2": ("two", "deux", "zwei", "dos", "dois"), "3": ("three", "trois", "drei", "tres"),
    "4": ("four", "quatre", "vier", "cuatro"), "5": ("five", "cinq", "fünf", "cinco"),
    "6": ("six", "sechs", "seis"), "7": ("seven", "sept", "sieben", "siete", "sete"),
    "8": ("eight", "huit", "acht", "ocho", "oito"), "9": ("nine", "neuf", "neun", "nueve", "nove"),
}  # fmt: skip
_LANGUAGES = 5


def is_spelt_out(term: str) -> bool:
    """Whether a term is said letter by letter, or has a digit or another sign in it."""
    bare = term.replace(" ", "")
    return (len(bare) <= LONGEST_ABBREVIATION and bare.isupper()) or any(
        sign in _SIGNS for sign in bare
    )


def readings(term: str) -> Iterator[str]:
    """How a term may be said: as it is written, and sign by sign.

    Nothing more is known of numbers of several digits, which each language reads otherwise.
    """
    yield term
    if is_spelt_out(term):
        for n in range(_LANGUAGES):
            yield " ".join(_name(sign, n) for sign in unicodedata.normalize("NFKD", term.lower()))


def is_known(term: str) -> bool:
    """Whether its readings are all that there are, as far as is known."""
    digits = [sign.isdigit() for sign in term]
    if any(a and b for a, b in pairwise(digits)):
        return False
    plain = unicodedata.normalize("NFKD", term.lower())
    return all(
        sign.isspace() or sign in _LETTERS or sign in _SIGNS or not sign.isalnum() for sign in plain
    )


def _name(sign: str, n: int) -> str:
    names = _SIGNS.get(sign)
    return _LETTERS.get(sign, sign) if names is None else names[min(n, len(names) - 1)]
