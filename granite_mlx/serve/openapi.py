"""The interface as an OpenAPI document. docs/server.md has the same for people."""

from __future__ import annotations

from typing import Any

from granite_mlx import __version__
from granite_mlx.options import CHANNELS, HIGHEST_BOOST
from granite_mlx.serve.fields import FORMATS, GRANULARITIES, LATEST_S
from granite_mlx.transcript import FORMATS as FILE_FORMATS

Json = dict[str, Any]

FIELDS: dict[str, Json] = {
    "file": {
        "type": "string",
        "format": "binary",
        "description": "The recording: wav, flac, mp3, m4a, ogg, webm and others; any length up to "
        "the server's limit.",
    },
    "model": {
        "type": "string",
        "description": "The loaded model's id or short name. Names that begin with whisper- or "
        "gpt- mean it, too.",
        "example": "whisper-1",
    },
    "language": {
        "type": "string",
        "description": "The spoken language: a code or an English name.",
        "example": "en",
    },
    "languages": {
        "type": "array",
        "items": {"type": "string"},
        "maxItems": 1,
        "description": "OpenAI's newer form of the same; one at most.",
    },
    "prompt": {
        "type": "string",
        "description": "Keywords with commas between them. The model takes no other prompt: "
        "anything else is refused.",
        "example": "Kubernetes, Siobhan",
    },
    "keywords": {
        "type": "array",
        "items": {"type": "string"},
        "description": "Names and terms that may be said.",
    },
    "response_format": {"type": "string", "enum": list(FORMATS), "default": "json"},
    "temperature": {"type": "number", "minimum": 0, "maximum": 1, "default": 0},
    "timestamp_granularities": {
        "type": "array",
        "items": {"type": "string", "enum": list(GRANULARITIES)},
        "description": "What verbose_json has: segments (the default), words, or both.",
    },
    "include": {
        "type": "array",
        "items": {"type": "string", "enum": ["logprobs"]},
        "description": "With response_format=json: how sure the model is of each word.",
    },
    "stream": {
        "type": "boolean",
        "default": False,
        "description": "Server-sent events: OpenAI's for json and text, a segment each for "
        "verbose_json.",
    },
    "chunking_strategy": {"type": "string", "enum": ["auto"], "description": "Always so."},
    "keyword_boost": {
        "type": "number",
        "minimum": 0,
        "maximum": HIGHEST_BOOST,
        "default": 0,
        "description": "Ours: makes keywords that sound like what is heard likelier.",
    },
    "punctuate": {
        "type": "boolean",
        "default": False,
        "description": "Ours: ask for punctuation and capital letters.",
    },
    "start": {
        "type": "number",
        "minimum": 0,
        "maximum": LATEST_S,
        "description": "Ours: begin here, in seconds.",
    },
    "end": {
        "type": "number",
        "minimum": 0,
        "maximum": LATEST_S,
        "description": "Ours: end here, in seconds.",
    },
    "channels": {
        "type": "string",
        "enum": list(CHANNELS),
        "description": "Ours: separate transcribes each channel by itself.",
    },
    "to": {
        "type": "string",
        "default": "en",
        "description": "Ours: the language to translate to.",
    },
}
"""What each field may be."""

_COMMON = (
    "file model language prompt keywords response_format temperature timestamp_granularities "
    "stream keyword_boost punctuate start end channels"
).split()
FIELDS_OF_TRANSCRIPTIONS = [*_COMMON, "languages", "include", "chunking_strategy"]
FIELDS_OF_TRANSLATIONS = [*_COMMON, "to"]


def openapi() -> Json:
    """The whole document."""
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "granite-mlx serve",
            "version": __version__,
            "description": "OpenAI's interface for audio, for IBM's Granite Speech on this "
            "machine.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "paths": {
            "/v1/audio/transcriptions": {
                "post": _audio("transcribe", "Write down what is said.", FIELDS_OF_TRANSCRIPTIONS)
            },
            "/v1/audio/translations": {
                "post": _audio(
                    "translate", "Write it down in another language.", FIELDS_OF_TRANSLATIONS
                )
            },
            "/v1/models": {"get": _models()},
            "/v1/models/{model}": {"get": _model()},
            "/v1/transcripts/{format}": {"post": _transcripts()},
            "/health": {"get": _health()},
        },
        "components": {
            "schemas": _SCHEMAS,
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
        "security": [{}, {"token": []}],
    }


def _audio(name: str, summary: str, fields: list[str]) -> Json:
    form = {
        "type": "object",
        "required": ["file"],
        "properties": {field: FIELDS[field] for field in fields},
        "additionalProperties": False,
    }
    return {
        "operationId": name,
        "summary": summary,
        "requestBody": {"required": True, "content": {"multipart/form-data": {"schema": form}}},
        "responses": {
            "200": {
                "description": "The text, in the format that was asked for.",
                "content": {
                    "application/json": {
                        "schema": {"anyOf": [_schema("Transcription"), _schema("Verbose")]}
                    },
                    "text/plain": {"schema": {"type": "string"}},
                    "text/vtt": {"schema": {"type": "string"}},
                    "text/event-stream": {"schema": _schema("Event")},
                },
            },
            **_errors(400, 401, 403, 404, 408, 413, 415, 500, 503),
        },
    }


def _models() -> Json:
    return {
        "operationId": "listModels",
        "summary": "The loaded model.",
        "responses": {"200": _json("A list of one.", "Models"), **_errors(401, 403)},
    }


def _model() -> Json:
    return {
        "operationId": "retrieveModel",
        "summary": "The loaded model, by any of its names.",
        "parameters": [_in_path("model", {"type": "string", "minLength": 1})],
        "responses": {"200": _json("It is loaded.", "Model"), **_errors(401, 403, 404)},
    }


def _transcripts() -> Json:
    return {
        "operationId": "writeTranscript",
        "summary": "A transcript as JSON (schema version 1) in another format.",
        "parameters": [_in_path("format", {"type": "string", "enum": list(FILE_FORMATS)})],
        "requestBody": {
            "required": True,
            "content": {"application/json": {"schema": {"type": "object"}}},
        },
        "responses": {
            "200": {
                "description": "The same in that format.",
                "content": {"text/plain": {"schema": {"type": "string"}}},
            },
            **_errors(400, 401, 403, 404, 408, 413, 501, 503),
        },
    }


def _health() -> Json:
    return {
        "operationId": "health",
        "summary": "Whether the server runs. No token is needed.",
        "security": [],
        "responses": {"200": _json("It does.", "Health"), **_errors(403)},
    }


_REASONS = {
    400: "A field or the recording is wrong; `param` names it.",
    401: "The token is missing or wrong.",
    403: "The server is not called so, or a page of another origin asks.",
    404: "There is no such model, format or address.",
    408: "The upload came too slowly.",
    413: "The upload or the recording is too long.",
    415: "The body is no form.",
    500: "The server failed; its log says why.",
    501: "There is no Python that could write it.",
    503: "Too much at once, or too long; `Retry-After` tells when to ask again.",
}


def _errors(*statuses: int) -> Json:
    return {str(status): _json(_REASONS[status], "Error") for status in statuses}


def _json(description: str, schema: str) -> Json:
    content = {"application/json": {"schema": _schema(schema)}}
    return {"description": description, "content": content}


def _schema(name: str) -> Json:
    return {"$ref": f"#/components/schemas/{name}"}


def _in_path(name: str, schema: Json) -> Json:
    return {"name": name, "in": "path", "required": True, "schema": schema}


def _object(required: str, **properties: Json) -> Json:
    return {"type": "object", "required": required.split(), "properties": properties}


_TEXT: Json = {"type": "string"}
_NUMBER: Json = {"type": "number"}
_MAYBE_TEXT: Json = {"type": ["string", "null"]}
_MAYBE_NUMBER: Json = {"type": ["number", "null"]}


def _list(items: Json) -> Json:
    return {"type": "array", "items": items}


_SCHEMAS: Json = {
    "Error": _object(
        "error",
        error=_object(
            "message type param code",
            message=_TEXT,
            type=_TEXT,
            param=_MAYBE_TEXT,
            code=_MAYBE_TEXT,
        ),
    ),
    "Health": _object("status", status={"const": "ok"}),
    "Model": _object(
        "id object created owned_by",
        id=_TEXT,
        object={"const": "model"},
        created={"type": "integer"},
        owned_by=_TEXT,
        granite={"type": "object"},
    ),
    "Models": _object("object data", object={"const": "list"}, data=_list(_schema("Model"))),
    "Transcription": _object(
        "text",
        text=_TEXT,
        usage=_schema("Usage"),
        logprobs=_list(
            _object(
                "token bytes logprob",
                token=_TEXT,
                bytes=_list({"type": "integer"}),
                logprob=_MAYBE_NUMBER,
            )
        ),
        granite=_object("warnings", warnings=_list(_schema("Warning"))),
    ),
    "Event": _object(
        "event data",
        event={
            "type": "string",
            "description": "transcript.text.delta, .segment or .done, or error.",
        },
        data={
            "type": "string",
            "contentMediaType": "application/json",
            "description": "An object whose type is the event.",
        },
    ),
    "Verbose": _object(
        "task language duration text granite",
        task=_TEXT,
        language=_TEXT,
        duration=_NUMBER,
        text=_TEXT,
        segments=_list(_schema("Segment")),
        words=_list(_schema("Word")),
        usage=_schema("Usage"),
        granite=_object(
            "warnings keywords",
            warnings=_list(_schema("Warning")),
            keywords=_list(
                _object(
                    "term offered found",
                    term=_TEXT,
                    offered={"type": "boolean"},
                    found={"type": "boolean"},
                )
            ),
        ),
    ),
    "Segment": _object(
        "id start end text avg_logprob compression_ratio no_speech_prob seek temperature tokens "
        "confidence speaker",
        id={"type": "integer"},
        start=_NUMBER,
        end=_NUMBER,
        text=_TEXT,
        avg_logprob=_MAYBE_NUMBER,
        compression_ratio=_NUMBER,
        no_speech_prob=_NUMBER,
        seek={"type": "integer"},
        temperature=_NUMBER,
        tokens=_list({"type": "integer"}),
        confidence=_MAYBE_NUMBER,
        speaker=_MAYBE_TEXT,
    ),
    "Word": _object(
        "word start end confidence",
        word=_TEXT,
        start=_NUMBER,
        end=_NUMBER,
        confidence=_MAYBE_NUMBER,
    ),
    "Warning": _object(
        "code message start end",
        code=_TEXT,
        message=_TEXT,
        start=_MAYBE_NUMBER,
        end=_MAYBE_NUMBER,
    ),
    "Usage": _object("type seconds", type={"const": "duration"}, seconds=_NUMBER),
}
