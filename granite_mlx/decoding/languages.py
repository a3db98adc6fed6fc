"""The languages that Granite Speech hears and writes, and the pairs that it translates."""

from __future__ import annotations

from granite_mlx.errors import LanguageError

LANGUAGE_NAMES = {
    "en": "English",
    "fr": "French",
    "de": "German",
    "es": "Spanish",
    "pt": "Portuguese",
    "ja": "Japanese",
    "it": "Italian",
    "zh": "Mandarin",
}
"""ISO 639-1 code -> the name that prompts use."""

SPOKEN = ("en", "fr", "de", "es", "pt", "ja")
"""Languages that can be transcribed."""

TARGETS_FROM_ENGLISH = ("fr", "de", "es", "pt", "ja", "it", "zh")
"""English speech translates into these; every other spoken language into English."""

_ALIASES = {"mandarin chinese": "zh", "chinese": "zh", "brazilian portuguese": "pt"}


def language_code(language: str) -> str:
    """The code of a language given by code ("fr", "fr-CA") or English name ("French").

    Raises:
        TypeError: not a string.
        LanguageError: a language that the model does not know.
    """
    if not isinstance(language, str):
        raise TypeError(f"a language is a string such as 'fr' or 'French', not {language!r}.")
    wanted = language.strip().lower()
    by_name = {name.lower(): code for code, name in LANGUAGE_NAMES.items()} | _ALIASES
    base = wanted.replace("_", "-").split("-")[0]
    code = by_name.get(wanted, base if base in LANGUAGE_NAMES else None)
    if code is None:
        known = ", ".join(f"{name} ({code})" for code, name in LANGUAGE_NAMES.items())
        raise LanguageError(f"the language {language!r} is not known; give one of {known}.")
    return code


def spoken_language(language: str) -> str:
    """The code of a language that can be transcribed.

    Raises:
        LanguageError: unknown, or one that the model writes but does not hear.
    """
    code = language_code(language)
    if code not in SPOKEN:
        raise LanguageError(
            f"the model does not understand spoken {LANGUAGE_NAMES[code]}; it hears "
            f"{', '.join(LANGUAGE_NAMES[c] for c in SPOKEN)}."
        )
    return code


def translation_pair(spoken: str | None, to: str) -> tuple[str | None, str]:
    """Codes of a pair that the model translates; `spoken` may be unknown.

    Raises:
        LanguageError: an unknown language, or a pair that the model was not trained for.
    """
    target = language_code(to)
    source = None if spoken is None else spoken_language(spoken)
    if source is None or (target in TARGETS_FROM_ENGLISH if source == "en" else target == "en"):
        return source, target
    heard, written = LANGUAGE_NAMES[source], LANGUAGE_NAMES[target]
    if source == target:
        raise LanguageError(f"{heard} to {written} is no translation; transcribe instead.")
    if source == "en":
        choices = ", ".join(LANGUAGE_NAMES[c] for c in TARGETS_FROM_ENGLISH)
        raise LanguageError(
            f"the model does not translate English to {written}; it does {choices}."
        )
    raise LanguageError(
        f"the model does not translate {heard} to {written}; from {heard} it translates to English."
    )
