"""Wrong arguments, which are found before any work."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from granite_mlx import AudioError, GraniteSpeech, LanguageError

from .asking import RATE, SECOND


class Untouched(io.BytesIO):
    """Audio that nobody may look at."""

    def read(self, *args: Any) -> bytes:
        raise AssertionError("the audio was read")


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"keywords": "Siobhan"}, TypeError, "list of terms"),
        ({"keywords": [""]}, ValueError, "keyword 1 is empty"),
        ({"keywords": ["a", 5]}, TypeError, "keyword 2"),
        ({"keywords": ["<|audio|>"]}, ValueError, r"<\|"),
        ({"keywords": Path("/nowhere/terms.txt")}, ValueError, "terms.txt"),
        ({"language": "klingon"}, LanguageError, "klingon"),
        ({"language": "it"}, LanguageError, "Italian"),
        ({"language": 5}, TypeError, "language"),
        ({"temperature": -1.0}, ValueError, "temperature"),
        ({"temperature": float("nan")}, ValueError, "temperature"),
        ({"temperature": "hot"}, TypeError, "temperature"),
        ({"top_p": 0.0}, ValueError, "top_p"),
        ({"top_p": 1.5}, ValueError, "top_p"),
        ({"seed": 1.5}, TypeError, "seed"),
        ({"temperature": 1.0, "seed": -1}, ValueError, "seed"),
        ({"max_new_tokens": 0}, ValueError, "max_new_tokens"),
        ({"max_new_tokens": 512}, ValueError, "max_new_tokens must be from 1 to 511"),
        ({"max_new_tokens": 1.5}, TypeError, "max_new_tokens"),
        ({"max_new_tokens": True}, TypeError, "max_new_tokens"),
        ({"keyword_boost": "2"}, TypeError, "keyword_boost must be a number, not '2'"),
        ({"keyword_boost": True}, TypeError, "keyword_boost must be a number, not True"),
        ({"keyword_boost": 5}, ValueError, "keyword_boost has no keywords to raise"),
        ({"keyword_boost": 10**5000}, ValueError, "from 0 to 20, not one that is too large"),
        ({"keyword_boost": -1}, ValueError, "keyword_boost must be from 0 to 20, not -1"),
        ({"keyword_boost": float("nan")}, ValueError, "keyword_boost must be from 0 to 20"),
        ({"guard": "some"}, ValueError, "guard must be on or off, not 'some'"),
        ({"start_s": -1.0}, ValueError, "start_s"),
        ({"start_s": "0"}, TypeError, "start_s"),
        ({"start_s": 2.0, "end_s": 1.0}, ValueError, "end_s"),
        ({"sample_rate": 0}, ValueError, "sample_rate"),
        ({"sample_rate": "16000"}, TypeError, "sample_rate"),
    ],
)
def test_wrong_options(
    model: GraniteSpeech, options: dict[str, Any], error: type[Exception], message: str
) -> None:
    fractions: list[float] = []
    with pytest.raises(error, match=message):
        model.transcribe(Untouched(), on_progress=fractions.append, **options)
    with pytest.raises(error, match=message):
        model.translate(Untouched(), to="en", on_progress=fractions.append, **options)
    assert fractions == []


@pytest.mark.parametrize(
    ("to", "language", "error"),
    [
        ("klingon", None, LanguageError),
        ("fr", "fr", LanguageError),
        ("de", "fr", LanguageError),
        ("en", "it", LanguageError),
        (None, "en", TypeError),
    ],
)
def test_wrong_pairs(
    model: GraniteSpeech, to: Any, language: str | None, error: type[Exception]
) -> None:
    with pytest.raises(error):
        model.translate(Untouched(), to=to, language=language)


@pytest.mark.parametrize(
    ("audio", "options", "error"),
    [
        (SECOND, {}, ValueError),  # without a sample_rate
        (5, {"sample_rate": RATE}, TypeError),
        (None, {}, TypeError),
        ("/nowhere/a.wav", {}, AudioError),
        (b"", {}, AudioError),
        (b"text", {}, AudioError),
        (np.zeros(0), {"sample_rate": RATE}, AudioError),
        (np.full(RATE, np.nan), {"sample_rate": RATE}, AudioError),
        (SECOND, {"sample_rate": RATE, "start_s": 1.5}, AudioError),
    ],
    ids=["no rate", "number", "none", "no file", "empty", "text", "no samples", "nan", "late"],
)
def test_audio_that_is_none(
    model: GraniteSpeech, audio: Any, options: dict[str, Any], error: type[Exception]
) -> None:
    with pytest.raises(error):
        model.transcribe(audio, **options)
