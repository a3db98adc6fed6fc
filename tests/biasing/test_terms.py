import itertools
import unicodedata
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from granite_mlx.biasing import terms as terms_module
from granite_mlx.biasing.terms import LONGEST_TERM, MOST_ALIASES, Keywords, read_keywords


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "terms.txt"


def test_none() -> None:
    assert read_keywords(None) == Keywords()
    assert read_keywords([]) == Keywords()


def test_a_list_keeps_its_order_and_loses_duplicates() -> None:
    terms = ["Zoë", "C#", "Ada", "Zoë", " Ada ", "zoë"]
    assert read_keywords(terms).terms == ("Zoë", "C#", "Ada", "zoë")


def test_any_iterable() -> None:
    assert read_keywords(term for term in ("b", "a")).terms == ("b", "a")
    assert read_keywords({"b": 1, "a": 2}).terms == ("b", "a")


def test_one_spelling_of_accents() -> None:
    decomposed = unicodedata.normalize("NFD", "Zoë")
    assert read_keywords([decomposed, "Zoë"]).terms == ("Zoë",)


def test_runs_of_spaces_are_one() -> None:
    assert read_keywords(["New   York", "New York", "  a  b  "]).terms == ("New York", "a b")
    assert read_keywords(["New\u00a0York", "New \u3000York"]).terms == ("New York",)


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
        ("\u200b", "empty"),
        (" \ufeff\u202e ", "empty"),
        ("\u3164\u034f", "empty"),
        ("\u200d", "neither a letter"),
        ("...", "neither a letter"),
        ("- \u0301", "neither a letter"),
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
    assert read_keywords([term]).terms == (term,)


def test_invisible_characters_are_left_out() -> None:
    copied = ("\u202eErik\u202c", "Ka\u00adthryn", "\ufeffAda \u200b Lovelace")
    assert read_keywords(copied).terms == ("Erik", "Kathryn", "Ada Lovelace")
    assert read_keywords([("Ada", ["a\u200bda"])]).sounds_like == (("Ada", "ada"),)


def test_invisible_joiners_belong_to_the_spelling() -> None:
    terms = ("می\u200cخواهم", "क्\u200dष", "👩\u200d🚀")
    assert read_keywords(terms).terms == terms


@settings(deadline=None)
@given(st.lists(st.text(max_size=8), max_size=4))
def test_whatever_is_given_the_prompt_stays_whole(terms: list[str]) -> None:
    try:
        taken = read_keywords(terms).terms
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
    assert read_keywords(file).terms == terms


@pytest.mark.parametrize(
    ("content", "line", "reason"),
    [
        ("a\n\n# b\nc,d\n", 4, "comma"),
        ("a\nb\tc\td\n", 2, "control"),
        ("a\nb\t\n東京\t東京", 3, "Latin"),
        ("a\nb\tc,,d", 2, "an alias .* is empty"),
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


# Aliases


def test_pairs_of_a_term_and_its_aliases() -> None:
    again = ("Siobhán", ["shivon"])
    found = read_keywords(["Ada", ("Siobhán", ["shivon", " she "]), ("Ada", ("ayda",)), again])
    assert found.terms == ("Ada", "Siobhán")
    assert found.sounds_like == (("Siobhán", "shivon"), ("Siobhán", "she"), ("Ada", "ayda"))
    assert found.entries() == [("Ada", ("ayda",)), ("Siobhán", ("shivon", "she"))]
    assert read_keywords(found.entries()).terms == found.terms
    assert read_keywords(found) is found


def test_two_lists_become_one() -> None:
    one, other = read_keywords(["a", ("b", ["bee"])]), read_keywords(["c", ("b", ["be", "bee"])])
    both = one + other
    assert both.terms == ("a", "b", "c")
    assert both.sounds_like == (("b", "bee"), ("b", "be"))


def test_aliases_in_a_file(file: Path) -> None:
    file.write_text("Siobhán\tshivon, chevonne # Irish\nC#\tsee sharp;c sharp\nAda\nSiobhán\tshe\n")
    found = read_keywords(file)
    assert found.terms == ("Siobhán", "C#", "Ada")
    assert found.sounds_like == (
        ("Siobhán", "shivon"), ("Siobhán", "chevonne"), ("C#", "see sharp"), ("C#", "c sharp"),
        ("Siobhán", "she"),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("wrong", "error", "reason"),
    [
        (("a",), TypeError, "pair"),
        (("a", "b"), TypeError, "pair"),
        (("a", ["b"], ["c"]), TypeError, "pair"),
        (("a", [1]), TypeError, "an alias of keyword 2 must be a string"),
        (("", ["b"]), ValueError, "keyword 2 is empty"),
        (("a", [" "]), ValueError, "an alias of keyword 2 is empty"),
        (("a", ["b,c"]), ValueError, "comma"),
        (("a", ["42"]), ValueError, "no Latin letter"),
        (("a", [chr(97 + n) for n in range(MOST_ALIASES + 1)]), ValueError, "aliases"),
    ],
)
def test_pairs_that_are_refused(wrong: Any, error: type[Exception], reason: str) -> None:
    with pytest.raises(error, match=reason):
        read_keywords(["fine", wrong])


# Too much


def test_more_terms_than_there_may_be(monkeypatch: pytest.MonkeyPatch, file: Path) -> None:
    monkeypatch.setattr(terms_module, "MOST_TERMS", 3)
    assert len(read_keywords(["a", "b", "c"]).terms) == 3
    with pytest.raises(ValueError, match="more than 3 terms"):
        read_keywords(itertools.cycle(["a", "b"]))
    file.write_text("a\nb\nc\nd\n")
    with pytest.raises(ValueError, match="more than 3 terms") as caught:
        read_keywords(file)
    assert str(file) in str(caught.value)


def test_a_file_that_is_no_list(monkeypatch: pytest.MonkeyPatch, file: Path) -> None:
    monkeypatch.setattr(terms_module, "LARGEST_FILE", 1 << 20)
    file.write_text("a\n" * (1 << 20))
    with pytest.raises(ValueError, match="more than 1 MB"):
        read_keywords(file)


def test_a_hundred_thousand_terms(file: Path) -> None:
    file.write_text("\n".join(f"term {n}\tturm {n}" for n in range(100_000)))
    found = read_keywords(file)
    assert len(found.terms) == len(found.sounds_like) == 100_000
