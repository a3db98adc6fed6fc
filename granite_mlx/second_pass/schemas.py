"""Answers as JSON: reading them, and holding them against a schema by the package jsonschema.

In the schemas of tasks some names have a meaning: `segment` and `segments` hold ids of segments,
`quote` and `quotes` exact words, and `rewritten`, beside a `segment`, that segment's own text with
some of its words left out. Only ids of segments that there are can be valid.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, NoReturn, Protocol, TypeAlias

from granite_mlx.second_pass.text_model import Schema

MOST_SHOWN = 300  # characters of a complaint: it goes into a prompt
CITING = frozenset({"segment", "segments"})
QUOTING = frozenset({"quote", "quotes"})
REWRITTEN = "rewritten"
REFERENCES = frozenset({"$ref", "$dynamicRef"})

Rewrite: TypeAlias = Callable[[str], str]


class Judge(Protocol):
    """Looks at texts of an answer, and gives them back with its marks."""

    def quote(self, text: str, segment: int | None = None) -> str:
        """Words that should be the transcript's own; of a segment, where one stands beside."""
        ...

    def prose(self, text: str) -> str:
        """The answer's own words, with citations and quotes among them."""
        ...

    def rewritten(self, text: str, segment: int) -> str:
        """A segment with some of its words left out."""
        ...


class UnusableJSONError(Exception):
    """A text is no JSON, or not valid; the message tells the model why."""


def checked_schema(schema: Any, name: str) -> Schema:
    """A JSON Schema of an object.

    Raises:
        ValueError: it is none.
    """
    if not isinstance(schema, dict):
        raise ValueError(f"{name}: a JSON Schema is an object, and this is not.")
    try:
        _check_references(schema, name)
    except RecursionError as error:
        raise ValueError(f"{name}: it is too deep, or refers to itself for ever.") from error
    if "object" not in _types(schema):
        raise ValueError(
            f"{name}: answers are JSON objects, but its type is {json.dumps(schema['type'])}; put "
            "that into a property of an object."
        )
    return schema


def _types(schema: dict[str, Any]) -> Any:
    types = schema.get("type", ["object"])
    return types if isinstance(types, list) else [types]


def _check_references(schema: dict[str, Any], name: str) -> None:
    """Whether it is a schema, and all that it refers to is there."""
    from jsonschema.exceptions import SchemaError
    from jsonschema.validators import validator_for

    references = [
        value for key, value in _named(schema) if key in REFERENCES and isinstance(value, str)
    ]
    for one in references:
        if not one.startswith("#"):  # jsonschema would fetch it
            raise ValueError(f"{name}: $ref leads out of the file ({one}); put it into $defs.")
    kind = validator_for(schema)
    try:
        kind.check_schema(schema)
    except SchemaError as error:
        raise ValueError(f"{name}: this is no JSON Schema ({error.message}).") from error
    validator = kind(schema)
    citing_schema(schema, 0, 0)  # is not too deep
    for one in ["#", *references]:
        try:
            validator.evolve(schema={"$ref": one}).is_valid({})
        except RecursionError:
            raise
        except Exception as error:  # of a package that jsonschema rests on
            raise ValueError(f"{name}: $ref to {one}, which is not there.") from error


def citing_schema(schema: Schema, first: int, last: int) -> Schema:
    """The schema with the ids of segments, wherever it has a place for them, bounded."""

    def bounded(node: Any) -> Any:
        if isinstance(node, list):
            return [bounded(item) for item in node]
        if not isinstance(node, dict):
            return node
        result = {name: bounded(value) for name, value in node.items()}
        properties = result.get("properties")
        if isinstance(properties, dict):
            for name in CITING & properties.keys():
                properties[name] = _with_bounds(properties[name], first, last)
        return result

    return dict(bounded(dict(schema)))


def _with_bounds(node: Any, first: int, last: int) -> Any:
    if isinstance(node, dict) and node.get("type") == "integer":
        return {**node, "minimum": first, "maximum": last}
    if isinstance(node, dict) and "items" in node:
        return {**node, "items": _with_bounds(node["items"], first, last)}
    return node


def read_json(text: str, schema: Schema) -> Any:
    """The value that an answer holds; words before it and a code fence around it are let pass.

    Raises:
        UnusableJSONError: there is none, or it is not valid.
    """
    from jsonschema.validators import validator_for

    start = text.find("{")
    try:
        decoder = json.JSONDecoder(parse_constant=_refuse, parse_float=_number)
        value, _ = decoder.raw_decode(text, max(start, 0))
    except (ValueError, RecursionError) as error:
        raise UnusableJSONError(f"it is not JSON ({error}).") from error
    validator = validator_for(schema)(schema)
    for wrong in validator.iter_errors(value):  # the first is enough
        where = "".join(f"[{step!r}]" for step in wrong.absolute_path) or "the whole"
        raise UnusableJSONError(f"{where}: {wrong.message[:MOST_SHOWN]}.")
    return value


def cited(value: Any) -> Iterator[int]:
    """The ids of segments in an answer, in order."""
    for name, inner in _named(value):
        if name in CITING:
            items = inner if isinstance(inner, list) else [inner]
            yield from (one for one in items if isinstance(one, int) and not isinstance(one, bool))


def judged(value: Any, judge: Judge) -> Any:
    """An answer with each of its texts as `judge` has it."""
    return _judged(value, judge, judge.prose)


def _judged(value: Any, judge: Judge, rewrite: Rewrite) -> Any:
    if isinstance(value, str):
        return rewrite(value)
    if isinstance(value, list):
        return [_judged(inner, judge, rewrite) for inner in value]
    if not isinstance(value, dict):
        return value
    segment = value.get("segment")
    result = {}
    for name, inner in value.items():
        how = judge.quote if name in QUOTING else judge.prose
        if isinstance(segment, int) and name in QUOTING:
            how = partial(judge.quote, segment=segment)
        elif isinstance(segment, int) and name == REWRITTEN:
            how = partial(judge.rewritten, segment=segment)
        result[name] = _judged(inner, judge, how)
    return result


def joined(values: list[Any]) -> Any:
    """One answer of those on consecutive parts: lists and texts one behind the other."""
    first = values[0]
    if all(isinstance(one, dict) for one in values):
        names = dict.fromkeys(name for one in values for name in one)
        return {name: joined([one[name] for one in values if name in one]) for name in names}
    if all(isinstance(one, list) for one in values):
        return [item for one in values for item in one]
    if all(isinstance(one, str) for one in values):
        return " ".join(values)
    return next((one for one in values if one is not None), first)


def is_joined_whole(values: list[Any]) -> bool:
    """Whether `joined` keeps all of them: of numbers, say, it takes the first."""
    if all(isinstance(one, dict) for one in values):
        names = dict.fromkeys(name for one in values for name in one)
        return all(is_joined_whole([one[name] for one in values if name in one]) for name in names)
    if any(all(isinstance(one, kind) for one in values) for kind in (list, str)):
        return True
    known = [one for one in values if one is not None]
    return all(one == known[0] for one in known)


def _named(value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        for name, inner in value.items():
            yield name, inner
            yield from _named(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _named(inner)


def _number(text: str) -> int | float:
    """3.0 is an integer to JSON Schema, and so may be the id of a segment."""
    number = float(text)
    if not math.isfinite(number):
        _refuse(text)
    return int(number) if number.is_integer() else number


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no JSON number")
