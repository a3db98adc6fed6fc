"""What became of each term."""

import itertools
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from granite_mlx.biasing.reporting import report_keywords
from granite_mlx.transcript import Word


@pytest.mark.parametrize(
    ("term", "text", "found"),
    [
        ("Ann", "Ann, and nobody else", True),
        ("Ann", "Hello Anna", False),
        ("Ann", "Joann", False),
        ("Ann", "Anna met Ann", True),
        ("Ann", "Anna met Annabel", False),
        ("Ann", "ann", False),  # its spelling is the point of it
        ("Ann", "", False),
        ("Ann", "Ann's", True),
        ("C#", "I like C#.", True),
        ("C#", "C#minor", True),
        ("C++", "C++ and C", True),
        ("New York", "in New York.", True),
        ("New York", "New Yorkers", False),
        ("é", "été", False),
        ("aa", "aaa aa", True),
    ],
)
def test_reports(term: str, text: str, found: bool) -> None:
    (report,) = report_keywords([term], text)
    assert (report.term, report.offered, report.found) == (term, True, found)


def test_reports_keep_the_order() -> None:
    reports = report_keywords(["b", "a"], "a")
    assert [(report.term, report.found) for report in reports] == [("b", False), ("a", True)]


def test_no_term_is_offered_where_nobody_was_asked() -> None:
    (report,) = report_keywords(["Ada"], None)
    assert (report.offered, report.found) == (False, False)


def test_times_are_those_of_the_words() -> None:
    words = [
        Word(0.0, 0.5, "« Ada »", None), Word(0.5, 1.0, "and", None), Word(1.0, 1.5, "Ada", None),
        Word(1.5, 2.0, "Byron,", None), Word(2.0, 2.5, "Adam", None),
    ]  # fmt: skip
    text = "« Ada » and Ada\nByron, Adam"
    terms = ["Ada", "Ada Byron", "Ada\nByron", "Eve"]
    assert [report.times for report in report_keywords(terms, text, words)] == [
        ((0.0, 0.5), (1.0, 1.5)), (), ((1.0, 2.0),), (),
    ]  # fmt: skip
    assert report_keywords(["Ada"], text)[0].times is None
    assert report_keywords(["Ada"], text, words[1:])[0].times is None


def test_which_terms_were_in_a_prompt() -> None:
    reports = report_keywords(["a", "b"], "a b", offered={"b"})
    assert [(one.offered, one.found) for one in reports] == [(False, True), (True, True)]


def stands_in(text: str, term: str) -> int:
    """How often a term is in a text as a whole word, place by place."""
    n = 0
    for place in range(len(text)):
        if text.startswith(term, place):
            end = place + len(term)
            before, after = text[place - 1 : place] if place else "", text[end : end + 1]
            cut = (before.isalnum() and term[0].isalnum()) or (
                term[-1].isalnum() and after.isalnum()
            )
            n += not cut
    return n


words = st.text("ab_#é ", min_size=1, max_size=4).filter(lambda one: one == one.strip())


@given(st.lists(words, max_size=6, unique=True), st.text("ab_#é \n", max_size=30))
def test_reports_are_those_of_a_search_place_by_place(terms: list[str], text: str) -> None:
    # A "word" for each stretch between spaces, so that occurrences can be counted by their times.
    timed = [Word(float(n), n + 1.0, word, None) for n, word in enumerate(text.split())]
    for report in report_keywords(terms, text, timed):
        n = stands_in(text, report.term)
        assert report.found == (n > 0)
        assert not timed or len(report.times or ()) == n


@pytest.mark.slow
def test_many_terms_and_hours_of_text() -> None:
    """Term by term this would take hours."""
    rng = random.Random(3)
    syllables = ["".join(pair) for pair in itertools.product("bdfgklmnprst", "aeiou")]
    terms = list({"".join(rng.choices(syllables, k=4)) for _ in range(100_000)})
    text = " ".join(rng.choice(terms[:2000]) for _ in range(100_000))
    reports = report_keywords(terms, text)
    found = {report.term for report in reports if report.found}
    assert found == set(text.split())
    assert [report.term for report in reports] == terms
