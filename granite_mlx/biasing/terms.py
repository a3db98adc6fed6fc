"""The user's terms, read and checked: what is to be spelt so, and how it may be heard."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TypeGuard

_COMMENT = re.compile(r"(^|\s)#.*")  # "C#" is a term
_ALIASES = re.compile("[,;]")

# Control characters, surrogates, line and paragraph separators:
_CONTROLS = {"Cc", "Cs", "Zl", "Zp"}

_INVISIBLE, _JOINERS = "Cf", "\u200c\u200d"
_FILLERS = "\u034f\u115f\u1160\u17b4\u17b5\u3164\uffa0"
"""What copied text brings along (zero-width spaces, marks of direction) is left out of a term. The
joiners stay, which Persian, Hindi and emoji are spelt with."""

_SIGNS = "LNS"
"""Letters, digits and symbols: a term of marks alone is none."""

LONGEST_TERM = 100
"""Characters of one term; a longer one is a sentence, or a list without line breaks."""

MOST_TERMS = 100_000
MOST_ALIASES = 10
"""Of one term."""

LARGEST_FILE = 1 << 26
"""Bytes; more than so many terms with aliases can have."""

Entry = str | tuple[str, tuple[str, ...]]
"""A term, or one with its aliases."""


@dataclass(frozen=True)
class Keywords:
    """Terms, and how some of them sound.

    Attributes:
        terms: each once, in order.
        sounds_like: (term, alias) for each alias, likewise.
    """

    terms: tuple[str, ...] = ()
    sounds_like: tuple[tuple[str, str], ...] = ()

    def __add__(self, other: Keywords) -> Keywords:
        return Keywords(
            tuple(dict.fromkeys((*self.terms, *other.terms))),
            tuple(dict.fromkeys((*self.sounds_like, *other.sounds_like))),
        )

    def entries(self) -> list[Entry]:
        """The terms as `read_keywords` takes them."""
        aliases: dict[str, list[str]] = {}
        for term, alias in self.sounds_like:
            aliases.setdefault(term, []).append(alias)
        return [(term, tuple(aliases[term])) if term in aliases else term for term in self.terms]


def read_keywords(keywords: Iterable[object] | Path | Keywords | None) -> Keywords:
    """The terms of a list, or of a file with one a line.

    An entry of a list is a term, or a pair of a term and its aliases: how it sounds, as
    ("Siobhán", ["shivon"]). In a file, aliases stand behind a tab, with commas or semicolons
    between them, and comments behind a ``#`` of its own. Order is kept; duplicates are merged, and
    so are their aliases.

    Raises:
        TypeError: a bare string, or an entry that is no term.
        ValueError: an empty or overlong term, one with a comma (it separates terms in the prompt)
            or a control character, one of punctuation alone, more than 100,000 terms, or a file
            that cannot be read, naming term or line.
    """
    if keywords is None:
        return Keywords()
    if isinstance(keywords, Keywords):
        return keywords
    if isinstance(keywords, Path):
        return _merged(_lines(keywords), str(keywords))
    if isinstance(keywords, (str, bytes)):
        raise TypeError(
            f"keywords must be a list of terms or a pathlib.Path to a file, not the string "
            f"{keywords!r}."
        )
    entries = (
        (one, _NO_ALIASES) if _is_plain(one) else _entry(one, f"keyword {place}")
        for place, one in enumerate(keywords, start=1)
    )
    return _merged(entries, "keywords")


_NO_ALIASES: list[str] = []


def _merged(entries: Iterable[tuple[str, list[str]]], where: str) -> Keywords:
    terms: dict[str, None] = {}
    sounds_like: dict[tuple[str, str], None] = {}
    n_aliases: dict[str, int] = {}
    for number, (term, aliases) in enumerate(islice(entries, MOST_TERMS + 1)):
        if number == MOST_TERMS:
            raise ValueError(f"{where}: there are more than {MOST_TERMS:,} terms; give fewer.")
        terms[term] = None
        if not aliases:
            continue
        new = [alias for alias in aliases if (term, alias) not in sounds_like]
        sounds_like.update(dict.fromkeys((term, alias) for alias in new))
        n_aliases[term] = n_aliases.get(term, 0) + len(new)
        if n_aliases[term] > MOST_ALIASES:
            raise ValueError(
                f"{where}: {term!r} has more than {MOST_ALIASES} aliases; keep those that sound "
                "most different."
            )
    return Keywords(tuple(terms), tuple(sounds_like))


def _lines(path: Path) -> Iterator[tuple[str, list[str]]]:
    """The terms of a file and their aliases."""
    n_terms = 0
    for number, line in enumerate(_text_of(path).splitlines(), start=1):
        written, tab, said = _COMMENT.sub("", line).strip().partition("\t")
        if not written:
            continue
        where = f"{path}, line {number}"
        n_terms += 1
        yield _checked(written, where), _aliases(_ALIASES.split(said) if tab else [], where)
    if not n_terms:
        raise ValueError(f"the keywords file {path} holds no terms; write one on each line.")


def _text_of(path: Path) -> str:
    try:
        with path.open("rb") as file:
            content = file.read(LARGEST_FILE + 1)
    except OSError as error:
        raise ValueError(f"the keywords file {path} cannot be read ({error.strerror}).") from error
    if len(content) > LARGEST_FILE:
        raise ValueError(
            f"the keywords file {path} has more than {LARGEST_FILE >> 20} MB; give fewer terms."
        )
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(
            f"the keywords file {path} is not UTF-8 text; save it as UTF-8."
        ) from error


def _entry(given: object, where: str) -> tuple[str, list[str]]:
    """A term of a list and its aliases, checked."""
    if not isinstance(given, tuple):
        return _checked(given, where), []
    if len(given) != 2 or not isinstance(given[1], (list, tuple)):
        raise TypeError(
            f"{where} must be a string, or a pair of a term and a list of aliases, not {given!r}."
        )
    return _checked(given[0], where), _aliases(given[1], where)


def _aliases(given: Iterable[object], where: str) -> list[str]:
    checked = [_checked(alias, f"an alias of {where}") for alias in given]
    for alias in checked:
        if not any("a" <= letter <= "z" for letter in unicodedata.normalize("NFKD", alias.lower())):
            raise ValueError(
                f"an alias of {where} ({alias!r}) has no Latin letter; write how the term sounds."
            )
    return checked


def _is_plain(term: object) -> TypeGuard[str]:
    """Whether a term needs no closer look, as most of a long list."""
    return isinstance(term, str) and term.isascii() and term.isalnum() and len(term) <= LONGEST_TERM


def _checked(term: object, where: str) -> str:
    if not isinstance(term, str):
        raise TypeError(f"{where} must be a string, not {term!r}.")
    bare = unicodedata.normalize("NFC", term).strip()
    if not bare.isascii() or not bare.isprintable():  # which is quick
        if any(unicodedata.category(one) in _CONTROLS for one in bare):
            raise ValueError(f"{where} ({bare!r}) contains a control character; remove it.")
        bare = "".join(one for one in bare if one in _JOINERS or not _is_invisible(one))
    clean = " ".join(bare.split())
    if not clean:
        raise ValueError(f"{where} is empty; leave it out or write a term.")
    if len(clean) > LONGEST_TERM:
        raise ValueError(f"{where} has {len(clean)} characters; a term has at most {LONGEST_TERM}.")
    if "," in clean:
        raise ValueError(f"{where} ({clean!r}) contains a comma; give each term by itself.")
    if "<|" in clean:
        raise ValueError(f"{where} ({clean!r}) contains '<|', which marks the model's own tokens.")
    if not clean.isalnum() and not any(unicodedata.category(one)[0] in _SIGNS for one in clean):
        raise ValueError(f"{where} ({clean!r}) has neither a letter nor a digit; leave it out.")
    return clean


def _is_invisible(character: str) -> bool:
    return unicodedata.category(character) == _INVISIBLE or character in _FILLERS
