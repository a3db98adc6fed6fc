from typing import Any

import pytest

from granite_mlx.decoding.languages import (
    LANGUAGE_NAMES,
    SPOKEN,
    TARGETS_FROM_ENGLISH,
    language_code,
    spoken_language,
    translation_pair,
)
from granite_mlx.errors import LanguageError


@pytest.mark.parametrize(("code", "name"), LANGUAGE_NAMES.items())
def test_every_language_by_code_and_name(code: str, name: str) -> None:
    for written in (
        code,
        code.upper(),
        name,
        name.lower(),
        name.upper(),
        f" {name}\n",
        f"{code}-XX",
    ):
        assert language_code(written) == code


@pytest.mark.parametrize(
    ("written", "code"),
    [("fr-CA", "fr"), ("pt_BR", "pt"), ("zh-Hant-TW", "zh"), ("Chinese", "zh"),
     ("mandarin chinese", "zh"), ("Brazilian Portuguese", "pt")],
)  # fmt: skip
def test_variants(written: str, code: str) -> None:
    assert language_code(written) == code


@pytest.mark.parametrize(
    "written", ["", " ", "-", "fra", "frr", "french!", "klingon", "e", "en fr", "french-en", "-fr"]
)
def test_unknown_languages(written: str) -> None:
    with pytest.raises(LanguageError) as caught:
        language_code(written)
    assert repr(written) in str(caught.value)
    assert "French (fr)" in str(caught.value)


@pytest.mark.parametrize("wrong", [None, 5, b"fr", ["fr"], True])
def test_languages_are_strings(wrong: Any) -> None:
    with pytest.raises(TypeError, match="string"):
        language_code(wrong)


@pytest.mark.parametrize("code", LANGUAGE_NAMES)
def test_spoken_languages(code: str) -> None:
    if code in SPOKEN:
        assert spoken_language(LANGUAGE_NAMES[code]) == code
    else:
        with pytest.raises(LanguageError, match=f"spoken {LANGUAGE_NAMES[code]}"):
            spoken_language(code)


def test_written_only() -> None:
    assert set(LANGUAGE_NAMES) - set(SPOKEN) == {"it", "zh"}


@pytest.mark.parametrize("source", SPOKEN)
@pytest.mark.parametrize("target", LANGUAGE_NAMES)
def test_every_pair(source: str, target: str) -> None:
    """fr/de/es/pt/ja to en; en to fr/de/es/pt/ja/it/zh."""
    published = (source == "en") != (target == "en")
    if published:
        assert translation_pair(source, target) == (source, target)
    else:
        with pytest.raises(LanguageError) as caught:
            translation_pair(source, target)
        assert LANGUAGE_NAMES[source] in str(caught.value)
        assert LANGUAGE_NAMES[target] in str(caught.value)


def test_number_of_pairs() -> None:
    assert len(TARGETS_FROM_ENGLISH) == 7
    assert set(TARGETS_FROM_ENGLISH) == set(LANGUAGE_NAMES) - {"en"}


def test_same_language_is_no_translation() -> None:
    with pytest.raises(LanguageError, match="transcribe instead"):
        translation_pair("French", "fr")


@pytest.mark.parametrize("target", LANGUAGE_NAMES)
def test_without_a_source_any_target_goes(target: str) -> None:
    assert translation_pair(None, target) == (None, target)


def test_pairs_by_name() -> None:
    assert translation_pair("Japanese", "English") == ("ja", "en")


@pytest.mark.parametrize(
    ("source", "target"), [("klingon", "en"), ("en", "klingon"), (None, "klingon"), ("it", "en")]
)
def test_unknown_halves_of_a_pair(source: str | None, target: str) -> None:
    with pytest.raises(LanguageError):
        translation_pair(source, target)


def test_a_target_is_a_string() -> None:
    with pytest.raises(TypeError):
        translation_pair("en", None)  # type: ignore[arg-type]
