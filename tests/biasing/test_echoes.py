"""Terms that only the list has."""

import pytest

from granite_mlx.biasing.echoes import said_terms, without_echoes
from granite_mlx.decoding.guard import Concern, Guarded


@pytest.mark.parametrize(
    ("text", "heard", "terms"),
    [
        ("give it to Kathryn", "give it to catherine", ["Kathryn"]),
        ("Nguyen said so", "win said so", ["Nguyen"]),
        ("Siobhán and Sean", "shivon and shawn", ["Siobhán", "Sean"]),
        ("Bo met GPT", "beau met gee pea tea", ["Bo", "GPT"]),
        ("Xu and Ng at AWS", "shu and ing at ay double you ess", ["Xu", "Ng", "AWS"]),
        ("C++ and C# by 3M", "see plus plus and see sharp by three em", ["C++", "C#", "3M"]),
        ("H&M et O2", "ache et em et o deux", ["H&M", "O2"]),
        ("UX", "you ex", ["UX"]),
        ("AI", "eye", ["AI"]),
        ("a cat", "the cat", ["a"]),  # a word as well
        ("東京 and 4711", "the weather is cold", ["東京", "4711"]),
        ("Reykjavik", "the weather", ["Oslo"]),  # not from the list
        ("", "the weather", ["Oslo"]),
        ("Reykjavik", "", ["Reykjavik"]),  # the guard's business
    ],
)
def test_what_stands(text: str, heard: str, terms: list[str]) -> None:
    assert without_echoes(Guarded(text), heard, terms) == Guarded(text)


@pytest.mark.parametrize(
    ("text", "heard", "kept"),
    [
        ("on Wednesday Reykjavik washed it", "on wednesday sarah washed it", "sarah"),
        ("Reykjavik washed it", "a man washed it", "a man"),
        ("he met Reykjavik.", "he met a small boat", "small boat"),
    ],
)
def test_what_was_heard_takes_the_place_of_an_echo(text: str, heard: str, kept: str) -> None:
    before = Concern("unheard_word", "as it was")
    found = without_echoes(Guarded(text, (before,)), heard, ["Oslo", "Reykjavik"])
    assert "Reykjavik" not in found.text
    assert kept in found.text
    assert found.concerns[0] == before
    (concern,) = found.concerns[1:]
    assert concern.code == "echoed_keyword"
    assert "Reykjavik" in concern.message


def test_every_echo_goes() -> None:
    found = without_echoes(
        Guarded("TensorFlow or Metformin or TensorFlow"),
        "a chair or a table or a chair",
        ["TensorFlow", "Metformin"],
    )
    assert "TensorFlow" not in found.text
    assert "Metformin" not in found.text
    assert len(found.concerns) == 3


def test_an_alias_supports_a_term() -> None:
    text, heard = Guarded("Worcestershire is nice"), "boo is nice"
    assert without_echoes(text, heard, ["Worcestershire"]).text == "boo is nice"
    aliases = [("Worcestershire", "boo")]
    assert without_echoes(text, heard, ["Worcestershire"], aliases) == text


@pytest.mark.parametrize(
    ("text", "heard", "term", "kept"),
    [
        ("in the kitchen UX in may", "in the kitchen eric opens it in may", "UX", "eric opens it"),
        ("C++ works with Lily", "oscar works with lily", "C++", "oscar"),
        ("3M will hide it", "zachary will hide it", "3M", "zachary"),
        ("Bob met Anna", "weather met anna", "Bob", "weather"),
    ],
)
def test_short_terms_are_judged_as_they_are_said(
    text: str, heard: str, term: str, kept: str
) -> None:
    found = without_echoes(Guarded(text), heard, [term])
    assert term not in found.text
    assert kept in found.text
    assert [one.code for one in found.concerns] == ["echoed_keyword"]


def test_the_terms_that_were_said() -> None:
    text, heard = "Kathryn met UX and Reykjavik", "catherine met oscar and a boat"
    assert said_terms(text, heard, ["UX", "Reykjavik", "Kathryn", "Oslo"]) == ("Kathryn",)
    assert said_terms("Boo is nice", "boo is nice", ["Boo"]) == ("Boo",)
    assert said_terms(
        "Worcester is nice", "boo is nice", ["Worcester"], [("Worcester", "boo")]
    ) == ("Worcester",)


def test_terms_that_the_head_spells_so_itself_need_no_list() -> None:
    text, heard = "the window that Erik opens", "the window that eric opens"
    assert said_terms(text, heard, ("the", "window", "Erik", "Zoë")) == ("Erik",)
