"""What a form may ask, and the sentence about what it may not."""

from functools import partial

import pytest

from granite_mlx.serve import openapi
from granite_mlx.serve.errors import ApiError
from granite_mlx.serve.fields import (
    TRANSCRIPTION,
    TRANSLATION,
    Asked,
    read_transcription,
    read_translation,
)
from granite_mlx.serve.names import is_known

from .asking import TRANSLATIONS, Address, silence

is_ours = partial(is_known, model_id="ibm-granite/granite-4.0-1b-speech")


def asked(**fields: str) -> Asked:
    return read_transcription(list(fields.items()), is_ours)


def refused(*fields: tuple[str, str], read=read_transcription) -> ApiError:
    with pytest.raises(ApiError) as caught:
        read(fields, is_ours)
    assert caught.value.status in (400, 404)
    assert str(caught.value).endswith(".")
    return caught.value


def test_nothing_but_a_file() -> None:
    found = asked()
    assert found.options["keywords"] is None
    assert found.options["language"] is None
    assert (found.response_format, found.is_streamed, found.to) == ("json", False, None)
    assert found.granularities == {"segment"}


def test_what_an_app_did_not_fill_in_is_not_given() -> None:
    assert asked(language="", prompt=" ", temperature="", response_format="", stream="") == asked()


@pytest.mark.parametrize(
    "name", ["ibm-granite/granite-4.0-1b-speech", "granite-4.0-1b-speech", "whisper-1", "gpt-x"]
)
def test_names(name: str) -> None:
    asked(model=name)


@pytest.mark.parametrize("name", ["granite", "ibm-granite/other", "../x", "large-v3"])
def test_other_names(name: str) -> None:
    error = refused(("model", name))
    assert (error.status, error.param, error.code) == (404, "model", "model_not_found")


@pytest.mark.parametrize("names", [("keywords[]", "keywords[]"), ("keywords", "keywords"),
                                   ("keywords[0]", "keywords[1]")])  # fmt: skip
def test_lists_in_all_their_forms(names: tuple[str, str]) -> None:
    found = read_transcription([(names[0], "Zoé"), (names[1], "Erik")], is_ours)
    assert found.options["keywords"] == ["Zoé", "Erik"]


def test_keywords_and_prompt_come_together_once_each() -> None:
    found = read_transcription([("keywords[]", "Zoé"), ("prompt", "Kubernetes, Zoé,,")], is_ours)
    assert found.options["keywords"] == ["Zoé", "Kubernetes"]


@pytest.mark.parametrize(
    ("name", "value", "part"),
    [
        ("prompt", "This is a talk about cats and dogs", "list of keywords"),
        ("prompt", "Hello.", "list of keywords"),
        ("prompt", "a" * 20_001, "more than 20000"),
        ("language", "tlh", "not known"),
        ("language", "it", "does not understand spoken Italian"),
        ("temperature", "1.5", "from 0 to 1"),
        ("temperature", "nan", "from 0 to 1"),
        ("temperature", "warm", "'warm'"),
        ("start", "-1", "from 0 to 999999"),
        ("end", "1e7", "from 0 to 999999"),
        ("end", "0", "later than start=0"),
        ("keyword_boost", "21", "from 0 to 20"),
        ("channels", "left", "mixed or separate"),
        ("stream", "maybe", "true or false"),
        ("response_format", "diarized_json", "json or text or srt"),
        ("timestamp_granularities[]", "word", "response_format=verbose_json, not json"),
        ("include[]", "logprobs,", "must be logprobs"),
        ("chunking_strategy", "server_vad", "must be auto"),
        ("keywords[]", "  ", "keyword"),
        ("file2", "x", "'file2' is not supported"),
        ("known_speaker_names[]", "x", "'known_speaker_names[]' is not supported"),
        ("chunking_strategy[type]", "server_vad", "'chunking_strategy[type]' is not supported"),
        ("to", "fr", "'to' is not supported"),
        ("x" * 500, "x", "xxx"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named(name: str, value: str, part: str) -> None:
    error = refused((name, value))
    assert part in str(error)
    assert error.param == name.removesuffix("[]")[:80] or error.param == name
    assert len(str(error)) < 600


@pytest.mark.parametrize(
    "fields",
    [
        [("response_format", "srt"), ("stream", "true")],
        [("response_format", "text"), ("include[]", "logprobs")],
        [("language", "en"), ("languages[]", "fr")],
        [("languages[]", "en"), ("languages[]", "fr")],
        [("model", "gpt-x"), ("model", "gpt-x")],
    ],
)
def test_what_does_not_go_together(fields: list[tuple[str, str]]) -> None:
    assert refused(*fields).param in {"stream", "include", "languages", "model"}


def test_translations_have_fields_of_their_own() -> None:
    given = [("language", "English"), ("to", "Japanese"), ("punctuate", "true")]
    found = read_translation(given, is_ours)
    assert (found.to, found.options["language"], found.options["punctuate"]) == ("ja", "en", True)
    assert read_translation([], is_ours).to == "en"
    for name in ("include[]", "languages[]", "chunking_strategy"):
        assert name in str(refused((name, "auto"), read=read_translation))
    assert refused(("language", "fr"), ("to", "de"), read=read_translation).param == "to"
    assert refused(("language", "en"), read=read_translation).param == "to"


def test_the_description_has_the_same_fields() -> None:
    assert {*openapi.FIELDS_OF_TRANSCRIPTIONS} == TRANSCRIPTION | {"file"}
    assert {*openapi.FIELDS_OF_TRANSLATIONS} == TRANSLATION | {"file"}


def test_what_only_the_model_can_refuse(address: Address) -> None:
    """A part behind the recording's end; more keywords than there is room for."""
    for start in ("5", "20000", "999999"):
        answer = address.post(silence(1.0), ("start", start))
        assert answer.status == 400
        assert answer.error["code"] == "invalid_audio"
    too_many = [("keywords[]", f"term{n} {'x' * 2000}") for n in range(3)]
    answer = address.post(silence(1.0), *too_many, path=TRANSLATIONS)
    assert answer.status == 400
    assert answer.error["code"] == "invalid_value"
