"""JSON, schema version 1: what is written can be read, and what is wrong is named."""

import copy
import json
import re
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from granite_mlx.transcript import KeywordReport, Segment, Transcript, TranscriptWarning, Word

SCHEMA_DOCUMENT = Path(__file__).parents[2] / "docs" / "transcript-schema.md"

FULL = Transcript(
    segments=(
        Segment(
            0.0,
            1.25,
            "« déjà » vu",
            confidence=0.75,
            speaker="left",
            words=(Word(0.1, 0.5, "déjà", 0.5), Word(0.5, 1.0, "vu", None)),
            language="fr",
            target_language="en",
        ),
        Segment(1.25, 3.0, "", confidence=None),
        Segment(3.0, 4.0, "again", words=(Word(3.0, 4.0, "again", 1.0),)),
    ),
    language="fr",
    target_language="en",
    task="translate",
    duration_s=4.5,
    model="ibm-granite/granite-4.0-1b-speech",
    warnings=(
        TranscriptWarning("repetition", "Stopped.", 1.0, 2.0),
        TranscriptWarning("quiet", "The recording is very quiet.", None, None),
    ),
    keywords=(
        KeywordReport("Siobhán", offered=True, found=True, times=((3.0, 4.0), (4.0, 4.25))),
        KeywordReport("Eric", offered=False, found=False),
    ),
)

milliseconds = st.integers(0, 10**8).map(lambda ms: ms / 1000)
probabilities = st.none() | st.floats(0, 1)
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
words = st.builds(Word, milliseconds, milliseconds, texts, probabilities)
transcripts = st.builds(
    Transcript,
    segments=st.lists(
        st.builds(
            Segment,
            milliseconds,
            milliseconds,
            texts,
            probabilities,
            st.none() | texts,
            st.lists(words, max_size=3).map(tuple),
            st.none() | texts,
            st.none() | texts,
        ),
        max_size=3,
    ).map(tuple),
    language=st.none() | st.sampled_from(["en", "ja"]),
    target_language=st.none() | st.sampled_from(["fr", "zh"]),
    task=st.sampled_from(["transcribe", "translate"]),
    duration_s=milliseconds,
    model=texts,
    warnings=st.lists(
        st.builds(TranscriptWarning, texts, texts, st.none() | milliseconds, st.none()), max_size=2
    ).map(tuple),
    keywords=st.lists(
        st.builds(
            KeywordReport,
            texts,
            st.booleans(),
            st.booleans(),
            st.none() | st.lists(st.tuples(milliseconds, milliseconds), max_size=2).map(tuple),
        ),
        max_size=2,
    ).map(tuple),
)


def key_paths(value: object, prefix: str = "") -> list[str]:
    """Every key of a document in order, as "segments[].text"."""
    match value:
        case dict():
            paths = []
            for key, inner in value.items():
                path = f"{prefix}.{key}" if prefix else key
                paths += [path, *key_paths(inner, path)]
            return list(dict.fromkeys(paths))
        case list():
            paths = [path for entry in value for path in key_paths(entry, f"{prefix}[]")]
            return list(dict.fromkeys(paths))
        case _:
            return []


def documented_types() -> dict[str, str]:
    """The table of docs/transcript-schema.md: key -> type."""
    document = SCHEMA_DOCUMENT.read_text(encoding="utf-8").split("## JSON on stdout")[0]
    return dict(re.findall(r"^\| `([^`]+)` \| ([^|]+?) \|", document, flags=re.MULTILINE))


def with_value(path: str, value: object) -> str:
    """FULL as JSON with one key, "words[].text", set to another value; `...` takes it away."""
    document = json.loads(FULL.to_json())
    *parents, key = path.split(".")
    holder = document
    for parent in parents:
        holder = holder[parent.removesuffix("[]")][0]
    if value is ...:
        del holder[key]
    else:
        holder[key] = value
    return json.dumps(document)


def test_the_document_lists_exactly_the_keys_that_are_written_in_their_order() -> None:
    assert list(documented_types()) == key_paths(json.loads(FULL.to_json()))


# A busy machine is no failure: no example has a time limit.
@settings(deadline=None, max_examples=50, suppress_health_check=[HealthCheck.too_slow])
@given(transcripts)
def test_a_transcript_is_read_back_exactly(t: Transcript) -> None:
    again = Transcript.from_json(t.to_json())
    assert again == t
    assert again.to_json() == t.to_json()


def test_times_are_rounded_to_milliseconds_and_confidences_are_not() -> None:
    word = Word(0.12349, 1 / 3, "a", 1 / 3)
    t = Transcript((Segment(0, 2 / 3, "a", words=(word,)),), None, None, "transcribe", 1e-4, "demo")
    document = json.loads(t.to_json())
    assert document["words"][0] == {
        "start_s": 0.123,
        "end_s": 0.333,
        "text": "a",
        "confidence": 1 / 3,
        "segment": 0,
    }
    assert (document["segments"][0]["end_s"], document["duration_s"]) == (0.667, 0.0)


def test_accents_are_written_as_they_are() -> None:
    assert "« déjà » vu" in FULL.to_json()


def test_a_number_that_json_cannot_hold_is_refused() -> None:
    with pytest.raises(ValueError, match="JSON"):
        Transcript((), None, None, "transcribe", float("nan"), "demo").to_json()


LATER = {"segments[].language", "segments[].target_language"}
"""Keys that the first files of version 1 do not have."""


@pytest.mark.parametrize("path", [path for path in documented_types() if path not in LATER])
def test_a_missing_key_is_named(path: str) -> None:
    with pytest.raises(ValueError, match=re.escape(path.replace("[]", "[0]")) + " is missing"):
        Transcript.from_json(with_value(path, ...))


WRONG = {
    "integer": [None, "1", 1.5, True],
    "number": [None, "1.0", False, [], float("inf")],
    "number or null": ["1.0", True, float("nan")],
    "string": [None, 1, ["a"]],
    "string or null": [1, {}],
    "boolean": [None, 0, "true"],
    "list": [None, {}, "abc", [1]],
    "list of pairs or null": [1, "ab", [1.0], [[1.0]], [[1.0, "2"]], [[1.0, 2.0, 3.0]]],
}


@pytest.mark.parametrize(
    ("path", "value"),
    [(path, value) for path, kind in documented_types().items() for value in WRONG[kind]],
)
def test_a_key_of_another_type_is_named(path: str, value: object) -> None:
    with pytest.raises(ValueError, match=re.escape(path.replace("[]", "[0]"))):
        Transcript.from_json(with_value(path, value))


@pytest.mark.parametrize(
    "path", [path for path, kind in documented_types().items() if "null" in kind]
)
def test_null_stands_for_what_is_not_known(path: str) -> None:
    document = with_value(path, None)
    assert Transcript.from_json(document).to_json() != FULL.to_json()


@pytest.mark.parametrize(
    ("path", "value", "reason"),
    [
        ("schema_version", 2, "schema_version is 2, .* reads transcripts of version 1"),
        ("task", "summarise", 'task must be transcribe or translate, not "summarise"'),
        ("segments[].id", 1, r"segments\[0\].id must be 0"),
        ("words[].segment", 3, r"words\[0\].segment must be the id of one of the 3 segments"),
        ("words[].segment", -1, r"words\[0\].segment must be"),
        ("duration_s", 10**400, "duration_s must be a number"),
        ("duration_s", 1e308, "duration_s must be a number up to 1e"),
        ("model", ["demo"], "model must be a string, not a list"),
        ("duration_s", "y" * 90, r'not "yyy+\.\.\.\.$'),
    ],
)
def test_a_value_out_of_place_is_explained(path: str, value: object, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        Transcript.from_json(with_value(path, value))


@pytest.mark.parametrize("text", ["", "hello", "[" * 100_000, '{"schema_version": 1'])
def test_what_is_not_json_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not JSON"):
        Transcript.from_json(text)


def test_a_list_is_not_a_document() -> None:
    with pytest.raises(ValueError, match="The document must be an object, not a list"):
        Transcript.from_json("[]")


def test_keys_that_are_not_listed_are_ignored() -> None:
    document = json.loads(FULL.to_json())
    more = copy.deepcopy(document)
    more["file"] = "a.wav"
    more["segments"][0]["channel"] = 1
    assert Transcript.from_json(json.dumps(more)) == FULL


def test_files_from_before_segments_had_languages_are_read() -> None:
    record = json.loads(FULL.to_json())
    for segment in record["segments"]:
        del segment["language"], segment["target_language"]
    read = Transcript.from_json(json.dumps(record))
    assert {(one.language, one.target_language) for one in read.segments} == {(None, None)}
    assert read.text == FULL.text
