"""What a realtime client may set: OpenAI's transcription session, and our extensions.

`session.update` of the GA interface and `transcription_session.update` of the beta are read into
the same settings. What would change the text and is not done is an error. Hints that we have no use
for are accepted and listed in the session's `granite.ignored`: nothing is left out in silence.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

from granite_mlx.biasing.terms import read_keywords
from granite_mlx.decoding.languages import spoken_language, translation_pair
from granite_mlx.errors import LanguageError
from granite_mlx.live.cutting import live_limits
from granite_mlx.live.options import LiveOptions
from granite_mlx.segments.limits import SegmentLimits
from granite_mlx.serve.realtime_messages import ClientError

Json: TypeAlias = Mapping[str, Any]

RATES = (24_000, 16_000)
LONGEST_PROMPT = 20_000


@dataclass(frozen=True)
class Settings:
    """A session's settings. `pause_s` None is the model's own; `at_pauses` is server VAD."""

    rate: int = RATES[0]
    at_pauses: bool = True
    pause_s: float | None = None
    model: str | None = None
    language: str | None = None
    keywords: tuple[str, ...] = ()
    to: str | None = None
    punctuate: bool = False
    drafts: bool = True
    ignored: tuple[str, ...] = ()

    def options(self, limits: SegmentLimits) -> LiveOptions:
        """What `GraniteSpeech.live` is told, where the model's own limits are `limits`."""
        segments = None
        if self.at_pauses and self.pause_s is not None:
            segments = live_limits(limits, self.pause_s)
        return {
            "sample_rate": self.rate,
            "turns": "pauses" if self.at_pauses else "commits",
            "keywords": list(self.keywords) or None,
            "language": self.language,
            "to": self.to,
            "punctuate": self.punctuate,
            "drafts": self.drafts,
            "segments": segments,
        }


def updated(
    settings: Settings,
    session: object,
    is_known_model: Callable[[str], bool],
    limits: SegmentLimits,
) -> Settings:
    """The settings after a `session.update`; what it does not name stays.

    Raises:
        ClientError: a field that is wrong, or not for this server.
    """
    fields = _Fields(_object(session, "session"), "session")
    kind = fields.take("type")
    if kind not in (None, "transcription"):
        raise ClientError(
            f"session.type must be transcription, not {kind!r}: this server only transcribes.",
            "session.type",
        )
    settings = replace(settings, ignored=())
    audio = fields.take_object("audio")
    if audio is not None:
        given = audio.take_object("input")
        audio.end("output")
        if given is not None:
            settings = _with_input(settings, given, is_known_model, limits)
    # The beta's names for the same things lie at the top.
    settings = _with_input(settings, fields, is_known_model, limits, is_beta=True)
    granite = fields.take_object("granite")
    if granite is not None:
        settings = _with_extensions(settings, granite)
    if fields.take("include"):
        settings = _ignoring(settings, "session.include")
    fields.end("id", "object", "expires_at", "client_secret", "modalities")
    return _checked_target(settings)


def described(settings: Settings, session_id: str, expires_at: int) -> dict[str, Any]:
    """The session as the GA interface shows it: what is in force."""
    return {
        "id": session_id,
        "object": "realtime.transcription_session",
        "type": "transcription",
        "expires_at": expires_at,
        "include": None,
        "audio": {
            "input": {
                "format": {"type": "audio/pcm", "rate": settings.rate},
                "noise_reduction": None,
                "transcription": _transcription(settings),
                "turn_detection": _turn_detection(settings),
            }
        },
        "granite": _extensions(settings),
    }


def described_as_beta(settings: Settings, session_id: str, expires_at: int) -> dict[str, Any]:
    """Likewise, by the beta's names."""
    return {
        "id": session_id,
        "object": "realtime.transcription_session",
        "expires_at": expires_at,
        "modalities": ["text"],
        "input_audio_format": "pcm16",
        "input_audio_noise_reduction": None,
        "input_audio_transcription": _transcription(settings),
        "turn_detection": _turn_detection(settings),
        "granite": _extensions(settings),
    }


def prompt_keywords(prompt: str, param: str) -> tuple[str, ...]:
    """A prompt's terms: it is a list with commas, or one of a few words; else ClientError."""
    terms = tuple(term for part in prompt.split(",") if (term := part.strip()))
    if any(len(term.split()) > 4 for term in terms) or prompt.rstrip().endswith((".", "!", "?")):
        raise ClientError(
            f"{param} must be a list of keywords with commas between them; the model takes no "
            "other prompt. Send the terms, or keywords.",
            param,
        )
    return terms


def _with_input(
    settings: Settings,
    fields: _Fields,
    is_known_model: Callable[[str], bool],
    limits: SegmentLimits,
    is_beta: bool = False,
) -> Settings:
    prefix = "input_audio_" if is_beta else ""
    if f"{prefix}format" in fields:
        settings = replace(
            settings, rate=_rate(fields.take(f"{prefix}format"), f"{fields.path}.{prefix}format")
        )
    if fields.take(f"{prefix}noise_reduction") is not None:
        settings = _ignoring(settings, f"{fields.path}.{prefix}noise_reduction")
    transcription = fields.take_object(f"{prefix}transcription")
    if transcription is not None:
        settings = _with_transcription(settings, transcription, is_known_model)
    if "turn_detection" in fields:
        detection = fields.take_object("turn_detection")
        settings = _with_detection(settings, detection, limits)
    if not is_beta:
        fields.end()
    return settings


def _rate(form: object, path: str) -> int:
    if form in (None, "pcm16"):
        return RATES[0]
    if isinstance(form, Mapping) and form.get("type", "audio/pcm") == "audio/pcm":
        rate = form.get("rate", RATES[0])
        if not isinstance(rate, bool) and rate in RATES:
            return int(rate)
    raise ClientError(
        f"{path} must be 16-bit PCM (audio/pcm) at 24000 Hz, or 16000 Hz, not {form!r}.", path
    )


def _with_transcription(
    settings: Settings, fields: _Fields, is_known_model: Callable[[str], bool]
) -> Settings:
    path = fields.path
    model = fields.take_text("model")
    if model and not is_known_model(model):
        raise ClientError(f"{path}.model: the model {model!r} is not served here.", f"{path}.model")
    settings = replace(settings, model=model or settings.model)
    if "language" in fields or "languages" in fields:
        settings = _with_language(settings, fields)
    keywords = fields.take_list("keywords")
    if keywords is not None:
        settings = replace(settings, keywords=tuple(keywords))
    prompt = fields.take_text("prompt")
    if prompt is not None:
        if len(prompt) > LONGEST_PROMPT:
            raise ClientError(f"{path}.prompt is too long.", f"{path}.prompt")
        listed = prompt_keywords(prompt, f"{path}.prompt")
        settings = replace(settings, keywords=listed + (tuple(keywords) if keywords else ()))
    if fields.take("delay") is not None:
        settings = _ignoring(settings, f"{path}.delay")
    fields.end()
    try:
        read_keywords(list(settings.keywords) or None)
    except (TypeError, ValueError) as error:
        raise ClientError(f"{path}.keywords: {error}", f"{path}.keywords") from error
    return settings


def _with_language(settings: Settings, fields: _Fields) -> Settings:
    """OpenAI's two ways to tell the language; a guess between several is not ours."""
    is_given = "language" in fields
    language = fields.take_text("language") or None
    several = [one for one in fields.take_list("languages") or [] if one.strip()]
    if several:
        if len(several) > 1 or language is not None:
            raise ClientError(
                f"{fields.path}.languages must be one at most, and without language.",
                f"{fields.path}.languages",
            )
        language = several[0]
    if language is None:
        return replace(settings, language=None) if is_given else settings
    try:
        return replace(settings, language=spoken_language(language))
    except LanguageError as error:
        name = "languages" if several else "language"
        raise ClientError(str(error), f"{fields.path}.{name}") from error


def _with_detection(settings: Settings, fields: _Fields | None, limits: SegmentLimits) -> Settings:
    if fields is None:
        return replace(settings, at_pauses=False)
    path = fields.path
    kind = fields.take("type")
    if kind not in (None, "server_vad"):
        raise ClientError(
            f"{path}.type must be server_vad, or turn_detection null, not {kind!r}.", f"{path}.type"
        )
    settings = replace(settings, at_pauses=True)
    silence_ms = fields.take("silence_duration_ms")
    if silence_ms is not None:
        settings = replace(settings, pause_s=_pause_s(silence_ms, path, limits))
    if fields.take("idle_timeout_ms") is not None:
        raise ClientError(
            f"{path}.idle_timeout_ms: this server commits no silence.", f"{path}.idle_timeout_ms"
        )
    for hint in ("threshold", "prefix_padding_ms"):
        if fields.take(hint) is not None:
            settings = _ignoring(settings, f"{path}.{hint}")
    fields.end("create_response", "interrupt_response")  # there are no responses here
    return settings


def _pause_s(silence_ms: object, path: str, limits: SegmentLimits) -> float:
    longest_s = limits.greatest_s / 3
    param = f"{path}.silence_duration_ms"
    if isinstance(silence_ms, bool) or not isinstance(silence_ms, (int, float)):
        raise ClientError(f"{param} must be a number, not {silence_ms!r}.", param)
    if not 100 <= silence_ms <= 1000 * longest_s:
        raise ClientError(
            f"{param} must be from 100 to {1000 * longest_s:.0f}, not {silence_ms}.", param
        )
    return silence_ms / 1000


def _with_extensions(settings: Settings, fields: _Fields) -> Settings:
    if "to" in fields:
        settings = replace(settings, to=fields.take_text("to") or None)
    for name in ("punctuate", "drafts"):
        if name in fields:
            value = fields.take(name)
            if not isinstance(value, bool):
                path = f"{fields.path}.{name}"
                raise ClientError(f"{path} must be true or false, not {value!r}.", path)
            settings = replace(settings, **{name: value})  # type: ignore[arg-type]
    fields.end("ignored")
    return settings


def _checked_target(settings: Settings) -> Settings:
    if settings.to is None:
        return settings
    try:
        spoken, to = translation_pair(settings.language, settings.to)
    except LanguageError as error:
        raise ClientError(str(error), "session.granite.to") from error
    return replace(settings, language=spoken, to=to)


def _ignoring(settings: Settings, path: str) -> Settings:
    return replace(settings, ignored=(*settings.ignored, path))


def _transcription(settings: Settings) -> dict[str, Any]:
    return {
        "model": settings.model,
        "language": settings.language,
        "prompt": ", ".join(settings.keywords),
        "keywords": list(settings.keywords),
    }


def _turn_detection(settings: Settings) -> dict[str, Any] | None:
    if not settings.at_pauses:
        return None
    pause_ms = None if settings.pause_s is None else round(1000 * settings.pause_s)
    return {"type": "server_vad", "silence_duration_ms": pause_ms}


def _extensions(settings: Settings) -> dict[str, Any]:
    return {
        "to": settings.to,
        "punctuate": settings.punctuate,
        "drafts": settings.drafts,
        "ignored": list(settings.ignored),
    }


class _Fields:
    """An object's fields, each taken once; what is left at the end is not known here."""

    def __init__(self, given: Json, path: str) -> None:
        self.path = path
        self._left = dict(given)

    def __contains__(self, name: str) -> bool:
        return name in self._left

    def take(self, name: str) -> Any:
        return self._left.pop(name, None)

    def take_object(self, name: str) -> _Fields | None:
        value = self.take(name)
        path = f"{self.path}.{name}"
        return None if value is None else _Fields(_object(value, path), path)

    def take_text(self, name: str) -> str | None:
        value = self.take(name)
        if value is not None and not isinstance(value, str):
            path = f"{self.path}.{name}"
            raise ClientError(f"{path} must be a string, not {value!r}.", path)
        return value

    def take_list(self, name: str) -> list[str] | None:
        value = self.take(name)
        if value is None:
            return None
        if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
            path = f"{self.path}.{name}"
            raise ClientError(f"{path} must be a list of strings.", path)
        return value

    def end(self, *harmless: str) -> None:
        """ClientError where a field is left that would have meant something."""
        left = [name for name, value in self._left.items() if value is not None]
        for name in left:
            if name not in harmless:
                path = f"{self.path}.{name}"
                raise ClientError(f"{path} is not supported here.", path)


def _object(value: object, path: str) -> Json:
    if not isinstance(value, Mapping):
        raise ClientError(f"{path} must be an object, not {type(value).__name__}.", path)
    return value
