"""What of a text stands before its witness."""

import math

import pytest

from granite_mlx.ctc.certainty import Certainty
from granite_mlx.decoding.guard import guarded, is_spelt


def codes(text: str, heard: str, keywords: tuple[str, ...] = ()) -> tuple[str, list[str]]:
    found = guarded(text, heard, keywords)
    return found.text, [concern.code for concern in found.concerns]


@pytest.mark.parametrize(
    ("text", "heard", "kept", "expected"),
    [
        ("Hello, world.", "hello world", "Hello, world.", []),
        ("", "", "", []),
        ("...", "", "...", []),
        ("...", "ha", "...", []),
        ("Thank you.", "", "", ["unheard_words"]),
        ("Hello world. Thank you!", "hello world", "Hello world.", ["unheard_words"]),
        ("Thank you! Hello world.", "hello world", "Hello world.", ["unheard_words"]),
        ("the cat sat on the mat", "the cat sat the mat", "the cat sat on the mat",
         ["unheard_word"]),
        ("four other words here", "hm yodl fudg wipm jinx", "four other words here", ["unlike"]),
        ("one two  three", "one two three", "one two  three", []),  # untouched to the last space
    ],
)  # fmt: skip
def test_a_transcript(text: str, heard: str, kept: str, expected: list[str]) -> None:
    assert codes(text, heard) == (kept, expected)


@pytest.mark.parametrize(
    ("text", "heard", "kept"),
    [
        ("He is at home.", "he is at home in geneva tonight", "He is at home. in geneva tonight"),
        ("At home he sings.", "in geneva at home he sings", "in geneva At home he sings."),
        ("he works at noon", "he works with lily in vienna at noon",
         "he works with lily in vienna at noon"),
        # Few letters; of digits, signs and abbreviations it hears the words.
        ("he is here", "he is a b here", None),
        ("I paid $25 today", "i paid twenty five dollars today", None),
        ("It costs 3,100 francs", "it costs three thousand one hundred francs", None),
        ("about 5 % of it", "about five percent of it", None),
        ("C++ is hard", "c plus plus is hard", None),
        ("see https://example.com now", "see h t t p s colon slash slash example com now", None),
        ("see www.example.com", "see double u double u double u example com", None),
        ("de vingt-cinq % en mai", "de vingt cinq pour cent en mai", None),
        # A neighbour's letter may stand beside one of them.
        ("five window the a $25", "five window the a twenty five dollars", None),
        ("add ½ of it now", "add one half cup of it now", None),
        ("in NYC people see", "in new york city people see", None),
        ("small 25 NYC people", "small twenty five new york city people", None),
        ("HE IS AT HOME", "he is at home in geneva", "HE IS AT HOME in geneva"),
        # In noise the head writes what nobody said, and so it does beside words that it mishears.
        ("a green chair", "q grem shar wo ne lusegi", None),
        ("", "an a tanne a luzegi", None),
        ("he works with Siobhan at noon", "he works with wuvone xy lusegi bo at noon", None),
    ],
)  # fmt: skip
def test_words_that_the_decoder_left_out(text: str, heard: str, kept: str | None) -> None:
    found, named = codes(text, heard)
    assert found == (kept or text)
    assert ("left_out_words" in named) == (kept is not None)


def test_nothing_is_put_in_behind_a_text_that_is_cut_off() -> None:
    text, heard = "he works at noon", "he works with lily at noon in vienna tonight"
    found = guarded(text, heard, is_whole=False)
    assert found.text == "he works with lily at noon"
    assert [one.code for one in found.concerns] == ["left_out_words"]


def test_where_nothing_was_written_what_was_surely_heard_is_named() -> None:
    heard = "he is at home in geneva"
    (concern,) = guarded("", heard).concerns
    assert concern.code == "left_out_word"
    assert heard in concern.message
    unsure = [Certainty(len(word) * math.log(0.5), len(word)) for word in heard.split()]
    assert guarded("", heard, certainty=lambda: unsure).concerns == ()
    assert guarded("", heard, is_whole=False).concerns == ()


def test_a_single_word_is_named_and_not_put_in() -> None:
    assert codes("six four", "six five four") == ("six four", ["left_out_word"])
    assert codes("a four", "a b four") == ("a four", [])


def test_what_is_put_in_is_spelt_as_the_keywords_are() -> None:
    text, heard = "he works at noon", "he works with lilly in vienna at noon"
    assert codes(text, heard, ("Lilly", "Ada"))[0] == "he works with Lilly in vienna at noon"


def test_only_what_was_surely_heard_is_put_in() -> None:
    text, heard = "he is at home", "he is at home in geneva og agil"

    def found(*letters: float) -> str:
        words = heard.split()[4:]
        unsure = [
            Certainty(len(w) * math.log(p), len(w)) for w, p in zip(words, letters, strict=True)
        ]
        return guarded(text, heard, certainty=lambda: [Certainty(0.0, 2)] * 4 + unsure).text

    assert found(0.99, 0.99, 0.5, 0.8) == "he is at home in geneva"
    assert found(0.99, 0.5, 0.99, 0.99) == "he is at home og agil"
    assert found(0.89, 0.99, 0.99, 0.99) == heard  # as a whole
    assert found(0.5, 0.5, 0.5, 0.5) == text


def test_words_that_were_put_in_are_named() -> None:
    (concern,) = guarded("he is at home", "he is at home in geneva tonight").concerns
    assert concern.message == (
        "the decoder left out 'in geneva tonight', which was put in as the encoder heard it."
    )


def test_a_keyword_that_nobody_said() -> None:
    text, heard = "please call Siobhan now", "please call now"
    assert codes(text, heard) == (text, ["unheard_word"])
    assert codes(text, heard, ("Kubernetes", "Siobhan")) == ("please call now", ["unheard_words"])
    assert codes(text, heard, ("Mrs Siobhan O'Neill",)) == ("please call now", ["unheard_words"])


def test_a_keyword_that_was_said_otherwise_than_it_is_spelt() -> None:
    text = "please call Siobhan now"
    assert codes(text, "please call shivon now", ("Siobhan",)) == (text, [])


def test_a_list_that_was_recited() -> None:
    keywords = ("Kubernetes", "Siobhan", "Zanzibar")
    assert codes("Kubernetes, Siobhan, Zanzibar", "", keywords) == ("", ["unheard_words"])
    text = "we met on Monday Kubernetes, Siobhan, Zanzibar"
    assert codes(text, "we met on monday", keywords) == ("we met on Monday", ["unheard_words"])


def test_scripts_that_the_head_cannot_spell() -> None:
    assert not is_spelt("こんにちは")
    assert is_spelt("Œuvre ñandú straße 42")
    assert guarded("こんにちは 世界", "hello").text == "こんにちは 世界"


def test_the_words_are_named() -> None:
    (concern,) = guarded("Hello world. Thank you!", "hello world").concerns
    assert concern.message == "the encoder did not hear 'Thank you!', which is left out."
