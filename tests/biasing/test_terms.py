import unicodedata
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from granite_mlx.biasing.reporting import report_keywords
from granite_mlx.biasing.terms import LONGEST_TERM, read_keywords
from granite_mlx.transcript import Word


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "terms.txt"


def test_none() -> None:
    assert read_keywords(None) == ()
    assert read_keywords([]) == ()


def test_a_list_keeps_its_order_and_loses_duplicates() -> None:
    terms = ["Zoë", "C#", "Ada", "Zoë", " Ada ", "zoë"]
    assert read_keywords(terms) == ("Zoë", "C#", "Ada", "zoë")


def test_any_iterable() -> None:
    assert read_keywords(term for term in ("b", "a")) == ("b", "a")
    assert read_keywords({"b": 1, "a": 2}) == ("b", "a")


def test_one_spelling_of_accents() -> None:
    decomposed = unicodedata.normalize("NFD", "Zoë")
    assert read_keywords([decomposed, "Zoë"]) == ("Zoë",)


def test_runs_of_spaces_are_one() -> None:
    assert read_keywords(["New   York", "New York", "  a  b  "]) == ("New York", "a b")
    assert read_keywords(["New\u00a0York", "New \u3000York"]) == ("New York",)


@pytest.mark.parametrize("wrong", ["Kubernetes", "", b"Siobhan", "a,b"])
def test_a_bare_string(wrong: Any) -> None:
    with pytest.raises(TypeError, match="list of terms") as caught:
        read_keywords(wrong)
    assert repr(wrong) in str(caught.value)


@pytest.mark.parametrize("wrong", [None, 5, b"x", ["x"], Path("x")])
def test_terms_are_strings(wrong: Any) -> None:
    with pytest.raises(TypeError, match="keyword 2 must be a string"):
        read_keywords(["a", wrong])


@pytest.mark.parametrize("wrong", [5, True, object()])
def test_neither_list_nor_path(wrong: Any) -> None:
    with pytest.raises(TypeError):
        read_keywords(wrong)


@pytest.mark.parametrize(
    ("term", "reason"),
    [
        ("", "empty"),
        ("  ", "empty"),
        ("\n", "empty"),
        ("a,b", "comma"),
        (",", "comma"),
        ("<|audio|>", r"<\|"),
        ("say <|end_of_text|> now", r"<\|"),
        ("a\tb", "control character"),
        ("a\nb", "control character"),
        ("a\0b", "control character"),
        ("a\x1b[1m", "control character"),
        ("a\ud800", "control character"),
        ("a\u2028b", "control character"),
        ("a\u2029b", "control character"),
        ("x" * (LONGEST_TERM + 1), f"at most {LONGEST_TERM}"),
    ],
)
def test_terms_that_are_refused(term: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason) as caught:
        read_keywords(["fine", "fine", term])
    assert "keyword 3" in str(caught.value)


@pytest.mark.parametrize(
    "term",
    ["C#", "C++", "x" * LONGEST_TERM, "#1", "l'été", "東京", "<b>", "a|b", "{x}", "50 %"],
)
def test_terms_that_are_taken(term: str) -> None:
    assert read_keywords([term]) == (term,)


def test_invisible_joiners_belong_to_the_spelling() -> None:
    terms = ("می\u200cخواهم", "क्\u200dष", "👩\u200d🚀")
    assert read_keywords(terms) == terms


@settings(deadline=None)
@given(st.lists(st.text(max_size=8), max_size=4))
def test_whatever_is_given_the_prompt_stays_whole(terms: list[str]) -> None:
    try:
        taken = read_keywords(terms)
    except ValueError:
        return
    assert len(set(taken)) == len(taken) <= len(terms)
    for term in taken:
        assert term == term.strip()
        assert term.isprintable() or not term.isascii()
        assert not {"\n", "\r", "\t", ","} & set(term)
        assert "<|" not in term


# Files


@pytest.mark.parametrize(
    ("content", "terms"),
    [
        ("Kubernetes\nSiobhan\n", ("Kubernetes", "Siobhan")),
        ("Kubernetes", ("Kubernetes",)),
        ("a\r\nb\r\n", ("a", "b")),
        ("# names\nC#\nF# # the language\n\n   \n#x\nC # too\n", ("C#", "F#", "C")),
        ("\ufeffAda\nB\n", ("Ada", "B")),  # a byte order mark
        ("  Ada \n\tB\t\n", ("Ada", "B")),
        ("Ada\nB\nAda\n", ("Ada", "B")),
        ("\n# \nZoë\n", ("Zoë",)),
        ("New  York\n", ("New York",)),
    ],
)
def test_files(file: Path, content: str, terms: tuple[str, ...]) -> None:
    file.write_text(content, encoding="utf-8", newline="")
    assert read_keywords(file) == terms


@pytest.mark.parametrize(
    ("content", "line", "reason"),
    [
        ("a\n\n# b\nc,d\n", 4, "comma"),
        ("a\nb\tc\n", 2, "control"),
        ("<|audio|>", 1, r"<\|"),
        ("a\n" + "x" * 101, 2, "at most"),
    ],
)
def test_lines_that_are_refused(file: Path, content: str, line: int, reason: str) -> None:
    file.write_text(content)
    with pytest.raises(ValueError, match=reason) as caught:
        read_keywords(file)
    assert f"{file}, line {line}" in str(caught.value)


@pytest.mark.parametrize("content", ["", "\n\n", "# nothing\n", "\ufeff"])
def test_a_file_without_terms(file: Path, content: str) -> None:
    file.write_text(content, encoding="utf-8")
    with pytest.raises(ValueError, match="holds no terms") as caught:
        read_keywords(file)
    assert str(file) in str(caught.value)


@pytest.mark.parametrize("content", [b"caf\xe9\n", "Ada".encode("utf-16")])
def test_a_file_in_another_encoding(file: Path, content: bytes) -> None:
    file.write_bytes(content)
    with pytest.raises(ValueError, match="not UTF-8"):
        read_keywords(file)


def test_files_that_cannot_be_read(file: Path) -> None:
    with pytest.raises(ValueError, match="No such file") as caught:
        read_keywords(file)
    assert str(file) in str(caught.value)
    with pytest.raises(ValueError, match="directory"):
        read_keywords(file.parent)


# What became of them


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
