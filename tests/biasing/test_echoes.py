"""Terms that only the list has."""

import pytest

from granite_mlx.biasing.echoes import without_echoes
from granite_mlx.decoding.guard import Concern, Guarded


@pytest.mark.parametrize(
    ("text", "heard", "terms"),
    [
        ("give it to Kathryn", "give it to catherine", ["Kathryn"]),
        ("Nguyen said so", "win said so", ["Nguyen"]),
        ("Siobhán and Sean", "shivon and shawn", ["Siobhán", "Sean"]),
        ("Bob met GPT", "the weather is cold", ["Bob", "GPT"]),  # too short to be judged
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
