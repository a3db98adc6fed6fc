import json
from typing import Any

import pytest

from granite_mlx.second_pass.schemas import (
    UnusableJSONError,
    checked_schema,
    cited,
    citing_schema,
    is_joined_whole,
    joined,
    judged,
    read_json,
)
from granite_mlx.second_pass.tasks import TASKS, load_task

SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "points": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {
                    "quote": {"type": "string"},
                    "segments": {"type": "array", "items": {"type": "integer"}},
                },
                "required": ["quote", "segments"],
            },
        },
        "segment": {"type": "integer"},
    },
    "required": ["points"],
}
NESTED: dict[str, Any] = {"type": "object"}
for _ in range(2000):
    NESTED = {"type": "object", "properties": {"a": NESTED}}
VALUE = {"points": [{"quote": "so", "segments": [3, 4]}, {"quote": "no", "segments": []}],
         "segment": 2}  # fmt: skip


@pytest.mark.parametrize(
    "text",
    [
        json.dumps(VALUE),
        f"Here you are:\n```json\n{json.dumps(VALUE, indent=2)}\n```\nThat is all.",
    ],
)
def test_a_value_is_read_whatever_stands_around_it(text: str) -> None:
    assert read_json(text, SCHEMA) == VALUE


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("no JSON at all", "it is not JSON"),
        ('{"points": [', "it is not JSON"),
        ('{"points": NaN}', "NaN is no JSON number"),
        ('{"points": 1e999}', "1e999 is no JSON number"),
        ('{"points": 3}', r"\['points'\]: 3 is not of type 'array'"),
        ("{}", "the whole: 'points' is a required property"),
        ('{"points": [{"quote": "so"}]}', r"\['points'\]\[0\]: 'segments' is a required"),
    ],
)
def test_what_is_wrong_is_told_so_that_a_model_can_mend_it(text: str, complaint: str) -> None:
    with pytest.raises(UnusableJSONError, match=complaint):
        read_json(text, SCHEMA)


def test_only_segments_that_there_are_can_be_valid() -> None:
    bounded = citing_schema(SCHEMA, 2, 4)
    assert read_json(json.dumps(VALUE), bounded) == VALUE
    for wrong in ({"points": [], "segment": 1}, {"points": [{"quote": "", "segments": [5]}]}):
        with pytest.raises(UnusableJSONError, match=r"minimum of 2|maximum of 4"):
            read_json(json.dumps(wrong), bounded)
    assert "minimum" not in json.dumps(SCHEMA)


def test_segments_are_found_by_name() -> None:
    assert list(cited(VALUE)) == [3, 4, 2]
    assert list(cited({"segments": [True, "1", None]})) == []


class Loud:
    """Tells how a text was judged."""

    def quote(self, text: str, segment: int | None = None) -> str:
        return f"quote {text}" if segment is None else f"quote {segment} {text}"

    def prose(self, text: str) -> str:
        return f"prose {text}"

    def rewritten(self, text: str, segment: int) -> str:
        return f"rewritten {segment} {text}"


def test_texts_are_judged_by_their_names() -> None:
    value = {
        "quotes": ["a", {"text": "b", "quote": "c"}], "text": ["d", 1, None], "rewritten": "e",
        "lines": [{"rewritten": "f", "segment": 3, "quote": "g"}],
    }  # fmt: skip
    assert judged(value, Loud()) == {
        "quotes": ["quote a", {"text": "prose b", "quote": "quote c"}],
        "text": ["prose d", 1, None],
        "rewritten": "prose e",
        "lines": [{"rewritten": "rewritten 3 f", "segment": 3, "quote": "quote 3 g"}],
    }


def test_a_schema_may_refer_to_itself_inside() -> None:
    tree = {"type": "object", "properties": {"of": {"type": "array", "items": {"$ref": "#"}}}}
    assert checked_schema(tree, "mine.json") == tree
    assert read_json('{"of": [{"of": []}]}', tree) == {"of": [{"of": []}]}
    assert checked_schema({"properties": {"$ref": {"type": "string"}}}, "mine.json")


@pytest.mark.parametrize(
    ("values", "whole"),
    [
        ([{"lines": [1], "text": "a"}, {"lines": [], "text": "b"}], True),
        ([{"n": 2}, {"n": 2}, {"n": None}, {}], True),
        ([{"n": 2}, {"n": 3}], False),
        ([{"of": {"n": True}}, {"of": {"n": False}}], False),
    ],
)
def test_what_cannot_be_joined_is_known(values: list[Any], whole: bool) -> None:
    assert is_joined_whole(values) is whole


def test_answers_on_parts_are_joined() -> None:
    parts = [{"lines": [1], "text": "a", "n": None}, {"lines": [2, 3], "text": "b", "n": 4}]
    assert joined(parts) == {"lines": [1, 2, 3], "text": "a b", "n": 4}


@pytest.mark.parametrize(
    ("schema", "complaint"),
    [
        ([], "is an object"),
        ({"type": "thing"}, "no JSON Schema"),
        ({"$ref": "https://example.org/schema.json"}, "leads out of the file"),
        ({"properties": {"a": {"$ref": "file:///etc/passwd"}}}, "leads out of the file"),
        ({"type": "array"}, "answers are JSON objects"),
        ({"$ref": "#"}, "refers to itself for ever"),
        ({"$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/a"}}}, "refers to itself"),
        ({"properties": {"a": {"$ref": "#/$defs/b"}}}, r"#/\$defs/b, which is not there"),
        (NESTED, "too deep"),
    ],
)
def test_what_is_no_schema_is_refused(schema: Any, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        checked_schema(schema, "mine.json")


@pytest.mark.parametrize("name", TASKS)
def test_the_package_s_schemas_are_schemas_that_cite(name: str) -> None:
    schema = load_task(name).schema
    assert schema is not None
    checked_schema(schema, name)
    assert '"maximum": 7' in json.dumps(citing_schema(schema, 0, 7))
