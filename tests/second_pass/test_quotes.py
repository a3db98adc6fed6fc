import pytest

from granite_mlx.second_pass.quotes import Said, words_of
from granite_mlx.transcript import Transcript

from .conftest import transcript_of


@pytest.fixture(scope="module")
def said(meeting: Transcript) -> Said:
    return Said(meeting)


def segments(said: Said, quote: str) -> tuple[int, ...]:
    found = said.look_up(quote)
    assert found is not None
    assert found.is_supported is bool(found.segments)
    return found.segments


def test_words_are_compared_without_case_and_punctuation() -> None:
    assert (
        words_of("Don’t — STOP, “now”!") == words_of("don't stop now") == "don t stop now".split()
    )


@pytest.mark.parametrize(
    ("quote", "found"),
    [
        ("the budget for the new bridge", (0,)),
        ("TWENTY FIVE million; and we don’t have that", (1,)),
        ("the bridge is put off until next year", (2, 3)),
        ("I will do that by Friday.", (4,)),
        ("Good", (0,)),
        ("Then we decide it now … Ben writes", (2, 3)),
        ("costs twenty-five million [...] we don't have that", (1,)),
    ],
)
def test_what_was_said_is_found_where_it_was_said(
    said: Said, quote: str, found: tuple[int, ...]
) -> None:
    assert segments(said, quote) == found


@pytest.mark.parametrize(
    "quote",
    [
        "the bridge costs thirty-five million",
        "idge costs twenty",  # words, not letters
        "budget for the new bridges",
        "the bridge is put off forever",
        "by Friday. Good morning",  # round the end
        "new bridge. The bridge costs",  # two speakers
        "Ben writes ... Then we decide",  # not in that order
        "put off ... put off",  # said once
    ],
)
def test_what_was_not_said_is_not_found(said: Said, quote: str) -> None:
    assert segments(said, quote) == ()


def test_a_quote_has_the_times_of_its_segments(said: Said) -> None:
    found = said.look_up("put off until next year")
    assert found is not None
    assert (found.start_s, found.end_s) == (60.0, 120.0)


@pytest.mark.parametrize("nothing", ["", " ... ", "?!", "[…]"])
def test_what_has_no_words_is_no_quote(said: Said, nothing: str) -> None:
    assert said.look_up(nothing) is None


def test_scripts_without_spaces() -> None:
    said = Said(transcript_of((None, "橋の予算について話します。"), (None, "延期に決めました")))
    assert segments(said, "予算について") == (0,)
    assert segments(said, "延期に決めた") == ()


def test_one_letter_in_two_encodings() -> None:
    said = Said(transcript_of((None, "le caf\u00e9 est pr\u00eat")))
    assert segments(said, "le cafe\u0301 est pre\u0302t") == (0,)


def test_a_transcript_without_words() -> None:
    assert segments(Said(transcript_of((None, ""), (None, "..."))), "anything") == ()


@pytest.mark.parametrize(
    "quote",
    [
        "Good ... the bridge is put off",  # past what the other one says
        "We ... have ... million",
    ],
)
def test_a_sentence_made_of_two_speakers_words_was_not_said(said: Said, quote: str) -> None:
    assert segments(said, quote) == ()


def test_a_sentence_made_of_words_from_all_over_was_not_said() -> None:
    filler = "and so on " * 40
    said = Said(transcript_of((None, f"I {filler} resign"), (None, "I do not resign")))
    assert segments(said, "I ... on and") == (0,)
    assert segments(said, "I ... resign") == (1,)  # not from the first I
    assert segments(said, "so on ... do not resign") == (0, 1)
    far = Said(transcript_of((None, f"I {filler} resign")))
    assert segments(far, "I ... resign") == ()
