"""The fields of a request -> what is asked, checked. What is not known here is refused by name."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field, replace
from typing import TypedDict

from granite_mlx.biasing.terms import read_keywords
from granite_mlx.decoding.languages import spoken_language, translation_pair
from granite_mlx.errors import LanguageError
from granite_mlx.options import CHANNELS, HIGHEST_BOOST, Channels, checked_channels
from granite_mlx.serve.errors import ApiError, bad_field
from granite_mlx.serve.realtime_messages import ClientError
from granite_mlx.serve.realtime_settings import LONGEST_PROMPT, prompt_keywords

FORMATS = ("json", "text", "srt", "verbose_json", "vtt")
STREAMED_FORMATS = ("json", "text", "verbose_json")
GRANULARITIES = ("segment", "word")
LISTS = frozenset({"include", "keywords", "languages", "timestamp_granularities"})
SHOWN_CHARACTERS = 80
LATEST_S = 999_999.0

COMMON = frozenset(
    "model language prompt response_format temperature timestamp_granularities stream keywords "
    "keyword_boost punctuate start end channels".split()
)
TRANSCRIPTION = COMMON | {"languages", "include", "chunking_strategy"}
TRANSLATION = COMMON | {"to"}


class Options(TypedDict):
    """What the model is told."""

    keywords: list[str] | None
    keyword_boost: float
    language: str | None
    punctuate: bool
    temperature: float
    start_s: float
    end_s: float | None
    channels: Channels


@dataclass(frozen=True)
class Asked:
    """A request without its recording. `to` is None for a transcription.

    `granularities` are what verbose_json has of segments and words. A streamed verbose_json tells
    segments, the other formats text.
    """

    options: Options
    to: str | None = None
    response_format: str = "json"
    granularities: frozenset[str] = field(default_factory=lambda: frozenset({"segment"}))
    with_logprobs: bool = False
    is_streamed: bool = False


def read_transcription(given: Iterable[tuple[str, str]], is_known: Callable[[str], bool]) -> Asked:
    """What `/v1/audio/transcriptions` is asked; ApiError names a field that is wrong."""
    fields = _Fields(given, TRANSCRIPTION)
    asked = _common(fields, is_known, fields.languages())
    include = fields.choices("include", ("logprobs",))
    if include and asked.response_format != "json":
        raise _for_another_format("include", "json", asked)
    fields.choice("chunking_strategy", ("auto",))  # what is always done
    return replace(asked, with_logprobs=bool(include))


def read_translation(given: Iterable[tuple[str, str]], is_known: Callable[[str], bool]) -> Asked:
    """What `/v1/audio/translations` is asked; ApiError names a field that is wrong."""
    fields = _Fields(given, TRANSLATION)
    asked = _common(fields, is_known, fields.text("language"))
    try:
        _, to = translation_pair(asked.options["language"], fields.text("to") or "en")
    except LanguageError as error:
        raise bad_field("to", str(error)) from error
    return replace(asked, to=to)


def _common(fields: _Fields, is_known: Callable[[str], bool], language: str | None) -> Asked:
    model = fields.text("model")
    if model is not None and not is_known(model):
        raise unknown_model(model)
    asked = Asked(
        _options(fields, language),
        response_format=fields.choice("response_format", FORMATS) or "json",
        is_streamed=fields.switch("stream"),
    )
    granularities = fields.choices("timestamp_granularities", GRANULARITIES)
    if granularities and asked.response_format != "verbose_json":
        raise _for_another_format("timestamp_granularities", "verbose_json", asked)
    if asked.is_streamed and asked.response_format not in STREAMED_FORMATS:
        raise _for_another_format("stream", "json", asked)
    return replace(asked, granularities=frozenset(granularities)) if granularities else asked


def _options(fields: _Fields, language: str | None) -> Options:
    try:
        spoken = None if language is None else spoken_language(language)
    except LanguageError as error:
        raise bad_field("language", str(error)) from error
    start_s = fields.number("start", 0.0, LATEST_S) or 0.0
    end_s = fields.number("end", 0.0, LATEST_S)
    if end_s is not None and end_s <= start_s:
        raise bad_field("end", f"end must be later than start={start_s:g}, not {end_s:g}.")
    channels = fields.choice("channels", CHANNELS)
    return Options(
        keywords=_keywords(fields) or None,
        keyword_boost=fields.number("keyword_boost", 0.0, HIGHEST_BOOST) or 0.0,
        language=spoken,
        punctuate=fields.switch("punctuate"),
        temperature=fields.number("temperature", 0.0, 1.0) or 0.0,
        start_s=start_s,
        end_s=end_s,
        channels=CHANNELS[0] if channels is None else checked_channels(channels),
    )


def unknown_model(name: str) -> ApiError:
    """A 404 of a model."""
    return ApiError(
        404,
        f"the model {_shown(name)} is not loaded; GET /v1/models tells which one is.",
        param="model",
        code="model_not_found",
    )


def _for_another_format(name: str, wanted: str, asked: Asked) -> ApiError:
    return bad_field(name, f"{name} is for response_format={wanted}, not {asked.response_format}.")


def _keywords(fields: _Fields) -> list[str]:
    """The terms of `keywords`, and of a prompt that is a list of them."""
    try:
        terms = list(read_keywords(fields.texts("keywords")).terms)
    except (TypeError, ValueError) as error:
        raise bad_field("keywords", str(error)) from error
    prompt = fields.text("prompt")
    if prompt is None:
        return terms
    if len(prompt) > LONGEST_PROMPT:
        raise bad_field("prompt", f"prompt has more than {LONGEST_PROMPT} characters.")
    try:
        listed = prompt_keywords(prompt, "prompt")
        return list(dict.fromkeys([*terms, *read_keywords(listed).terms]))
    except (ClientError, ValueError) as error:
        raise bad_field("prompt", str(error)) from error


class _Fields:
    """Fields by name; a list's may stand as `name`, `name[]` or `name[0]`."""

    def __init__(self, given: Iterable[tuple[str, str]], known: Collection[str]) -> None:
        self._values: dict[str, list[str]] = {}
        for full_name, value in given:
            name = _list_name(full_name)
            if name not in known:
                shown = full_name[:SHOWN_CHARACTERS]
                raise bad_field(
                    shown, f"the field {shown!r} is not supported here.", "unsupported_parameter"
                )
            values = self._values.setdefault(name, [])
            if values and name not in LISTS:
                raise bad_field(name, f"{name} is given twice.")
            values.append(value)

    def texts(self, name: str) -> list[str]:
        """The values of a list."""
        return self._values.get(name, [])

    def text(self, name: str) -> str | None:
        """A value; None where it is empty, too: forms of apps send what was not filled in."""
        for value in self._values.get(name, []):
            return value.strip() or None
        return None

    def number(self, name: str, least: float, most: float) -> float | None:
        """A finite number in a range."""
        text = self.text(name)
        if text is None:
            return None
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not (math.isfinite(value) and least <= value <= most):
            raise bad_field(
                name, f"{name} must be a number from {least:g} to {most:g}, not {_shown(text)}."
            )
        return value

    def switch(self, name: str) -> bool:
        """true or false."""
        text = self.text(name)
        if text is None:
            return False
        known = {"true": True, "1": True, "false": False, "0": False}
        if text.lower() not in known:
            raise bad_field(name, f"{name} must be true or false, not {_shown(text)}.")
        return known[text.lower()]

    def choice(self, name: str, known: Collection[str]) -> str | None:
        """One of several."""
        text = self.text(name)
        if text is not None and text not in known:
            raise bad_field(name, f"{name} must be {' or '.join(known)}, not {_shown(text)}.")
        return text

    def choices(self, name: str, known: Collection[str]) -> set[str]:
        """Some of several."""
        values = {value for value in self.texts(name) if value}
        for value in values - set(known):
            raise bad_field(name, f"{name} must be {' or '.join(known)}, not {_shown(value)}.")
        return values

    def languages(self) -> str | None:
        """OpenAI's two ways to tell the language; a guess between several is not ours."""
        language = self.text("language")
        several = [one for value in self.texts("languages") if (one := value.strip())]
        if several and (len(several) > 1 or language is not None):
            raise bad_field("languages", "languages must be one at most, and without language.")
        return several[0] if several else language


def _list_name(name: str) -> str:
    bare, bracket, rest = name.partition("[")
    is_list = bare in LISTS and (not bracket or rest.removesuffix("]").isdigit() or rest == "]")
    return bare if is_list else name


def _shown(text: str) -> str:
    return repr(text if len(text) <= SHOWN_CHARACTERS else f"{text[:SHOWN_CHARACTERS]}...")
