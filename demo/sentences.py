"""Random sentences in English and French, with their patterns.

A sentence is a clause, with a place or a time before or behind it. Its *pattern* is the tuple
(clause, what stands before, what stands behind). `HELD_OUT` names the patterns that training never
sees; their parts are known, their combination is not. Names stay placeholders (``{0}``), so that a
spelling can be chosen later. Both texts are punctuated; `plain` takes that away.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from demo import vocabulary as v

Phrase = tuple[str, str]  # (English, French)
Pattern = tuple[str, str, str]

PROPER = {en for en, _ in v.CITIES} | {fr for _, fr in v.CITIES}

# (before, behind) that a clause may take; "-" is nothing.
_FRAMES = (("-", "-"), ("-", "place"), ("-", "time"), ("time", "-"), ("place", "-"),
           ("-", "place time"), ("time", "place"), ("place", "time"))  # fmt: skip

HELD_OUT: frozenset[Pattern] = frozenset({
    ("svo_past", "time", "place"),
    ("svo_future", "-", "place time"),
    ("svo_present", "place", "time"),
    ("there_are", "time", "place"),
    ("works_with", "-", "place time"),
    ("according_to", "place", "-"),
    ("give_to", "-", "time"),
    ("looking_for", "place", "-"),
})  # fmt: skip


@dataclass(frozen=True)
class Sentence:
    """One sentence in both languages, punctuated, with ``{i}`` for name i."""

    pattern: Pattern
    en: str
    fr: str
    n_names: int


def plain(text: str) -> str:
    """Lower case without punctuation, as Granite's ASR prompt answers; proper names keep theirs."""
    words = re.sub(r"[.,?!]", "", text).split()
    return " ".join(w if w in PROPER or w.startswith("{") else w.lower() for w in words)


def _pick(rng: np.random.Generator, table):
    return table[int(rng.integers(len(table)))]


def _elide(article: str, word: str) -> str:
    """le/la + a word that begins with a vowel or a silent h -> l'."""
    if article in ("le", "la") and (word[0] in "aeéoiu" or word.startswith("horloge")):
        return f"l'{word}"
    return f"{article} {word}"


def _english_a(word: str) -> str:
    return f"an {word}" if word[0] in "aeiou" else f"a {word}"


def _thing(rng: np.random.Generator, definite: bool | None = None) -> Phrase:
    """A noun with its article and sometimes a colour or a size, or a number of things."""
    noun = _pick(rng, v.NOUNS)
    kind = rng.random()
    if definite is None and kind < 0.15:
        n = int(rng.integers(2, 30))
        return f"{v.english_number(n)} {noun.en_plural}", f"{v.french_number(n)} {noun.fr_plural}"
    definite = bool(rng.random() < 0.6) if definite is None else definite
    fr_article = (("la" if noun.feminine else "le") if definite
                  else ("une" if noun.feminine else "un"))  # fmt: skip
    en, fr, elided = noun.en, noun.fr, _elide(fr_article, noun.fr)
    if kind > 0.65:
        colour, masculine, feminine = _pick(rng, v.COLOURS)
        en, elided = f"{colour} {en}", f"{elided} {feminine if noun.feminine else masculine}"
    elif kind > 0.5:
        size, masculine, feminine = _pick(rng, v.SIZES)
        en = f"{size} {en}"
        elided = f"{fr_article} {feminine if noun.feminine else masculine} {fr}"
    return (f"the {en}" if definite else _english_a(en)), elided


def _person(rng: np.random.Generator, names: list[int]) -> Phrase:
    if rng.random() < 0.65:
        return _name(names)
    return _pick(rng, v.PEOPLE)


def _name(names: list[int]) -> Phrase:
    names.append(len(names))
    slot = "{" + str(names[-1]) + "}"
    return slot, slot


def _svo(tense: str) -> Callable[[np.random.Generator, list[int]], Phrase]:
    def clause(rng: np.random.Generator, names: list[int]) -> Phrase:
        (s_en, s_fr), verb, (o_en, o_fr) = _person(rng, names), _pick(rng, v.VERBS), _thing(rng)
        en = {"present": verb.en_present, "past": verb.en_past, "future": f"will {verb.en}"}[tense]
        fr = {"present": verb.fr_present, "past": f"a {verb.fr_participle}",
              "future": f"va {verb.fr}"}[tense]  # fmt: skip
        return f"{s_en} {en} {o_en}", f"{s_fr} {fr} {o_fr}"

    return clause


def _please(rng, names):
    verb, (en, fr) = _pick(rng, v.VERBS), _thing(rng)
    return f"please {verb.en} {en}", f"s'il vous plaît {verb.fr_imperative} {fr}"


def _where_is(rng, names):
    en, fr = _name(names) if rng.random() < 0.3 else _thing(rng, definite=True)
    return f"where is {en}", f"où est {fr}"


def _who(rng, names):
    verb, (en, fr) = _pick(rng, v.VERBS), _thing(rng)
    return f"who {verb.en_past} {en}", f"qui a {verb.fr_participle} {fr}"


def _weather(rng, names):
    return _pick(rng, v.WEATHER)


def _there_are(rng, names):
    noun, n = _pick(rng, v.NOUNS), int(rng.integers(2, 70))
    return (f"there are {v.english_number(n)} {noun.en_plural}",
            f"il y a {v.french_number(n)} {noun.fr_plural}")  # fmt: skip


def _costs(rng, names):
    (en, fr), n = _thing(rng, definite=True), int(rng.integers(2, 70))
    return f"{en} costs {v.english_number(n)} euros", f"{fr} coûte {v.french_number(n)} euros"


def _train(rng, names):
    (en, fr), n = _pick(rng, v.CITIES), int(rng.integers(2, 13))
    return (f"the train to {en} leaves at {v.english_number(n)} o'clock",
            f"le train pour {fr} part à {v.french_number(n)} heures")  # fmt: skip


def _my_name(rng, names):
    (name, _), (en, fr) = _name(names), _pick(rng, v.CITIES)
    return f"my name is {name} and I live in {en}", f"je m'appelle {name} et j'habite à {fr}"


def _works_with(rng, names):
    (a, _), (b_en, b_fr) = _name(names), _person(rng, names)
    return f"{a} works with {b_en}", f"{a} travaille avec {b_fr}"


def _according_to(rng, names):
    (name, _), (en, fr) = _name(names), _pick(rng, v.WEATHER)
    return f"according to {name} {en}", f"selon {name} {fr}"


def _give_to(rng, names):
    (en, fr), (name, _) = _thing(rng), _name(names)
    return f"give {en} to {name}", f"donnez {fr} à {name}"


def _looking_for(rng, names):
    en, fr = _name(names) if rng.random() < 0.4 else _thing(rng)
    return f"I am looking for {en}", f"je cherche {fr}"


def _would_like(rng, names):
    en, fr = _thing(rng)
    return f"I would like {en}", f"je voudrais {fr}"


def _call(rng, names):
    name, _ = _name(names)
    return f"call {name}", f"appelez {name}"


def _is_at(rng, names):
    (en, fr), (p_en, p_fr) = _person(rng, names), _pick(rng, v.PLACES)
    return f"{en} is {p_en}", f"{fr} est {p_fr}"


def _and_are(rng, names):
    (a, _), (b, _), (p_en, p_fr) = _name(names), _name(names), _pick(rng, v.PLACES)
    return f"{a} and {b} are {p_en}", f"{a} et {b} sont {p_fr}"


def _hello(rng, names):
    (name, _), (en, fr) = (
        _name(names),
        _pick(rng, (("hello", "bonjour"), ("thank you", "merci"), ("goodbye", "au revoir"))),
    )
    return f"{en} {name}", f"{fr} {name}"


_CLAUSES: dict[str, tuple[Callable, float, str]] = {  # clause -> maker, weight, what it may take
    "svo_present": (_svo("present"), 3, "place present"),
    "svo_past": (_svo("past"), 3, "place past"),
    "svo_future": (_svo("future"), 3, "place future"),
    "please": (_please, 1.5, "place"),
    "where_is": (_where_is, 0.7, ""),
    "who": (_who, 0.8, "place past"),
    "weather": (_weather, 0.7, "place present"),
    "there_are": (_there_are, 1.5, "place present"),
    "costs": (_costs, 1, ""),
    "train": (_train, 0.7, "day"),
    "my_name": (_my_name, 0.7, ""),
    "works_with": (_works_with, 1.2, "place present"),
    "according_to": (_according_to, 0.8, "place"),
    "give_to": (_give_to, 1.2, "present"),
    "looking_for": (_looking_for, 0.8, "place"),
    "would_like": (_would_like, 0.6, ""),
    "call": (_call, 0.7, "future"),
    "is_at": (_is_at, 0.8, ""),
    "and_are": (_and_are, 0.8, ""),
    "hello": (_hello, 0.4, ""),
}
_QUESTIONS = {"where_is", "who"}
_TENSE_TIMES = {"past": v.TIMES_PAST, "present": v.TIMES_PRESENT, "future": v.TIMES_FUTURE}


def _time(rng: np.random.Generator, tense: str) -> Phrase:
    kind = rng.random()
    if tense == "day" or kind < 0.25:
        en, fr = _pick(rng, v.DAYS)
        return f"on {en}", fr
    if kind < 0.4:
        en, fr = _pick(rng, v.MONTHS)
        return f"in {en}", f"en {fr}"
    if kind < 0.55:
        n = int(rng.integers(2, 13))
        return f"at {v.english_number(n)} o'clock", f"à {v.french_number(n)} heures"
    return _pick(rng, v.TIMES_ANY if kind < 0.7 else _TENSE_TIMES[tense])


def frames(takes: str) -> list[tuple[str, str]]:
    """The (before, behind) frames of a clause that takes a place, a time, both or neither."""
    place, time = "place" in takes, any(t in takes for t in (*_TENSE_TIMES, "day"))
    return [
        f
        for f in _FRAMES
        if (place or "place" not in " ".join(f)) and (time or "time" not in " ".join(f))
    ]


def draw(rng: np.random.Generator, held_out: bool = False) -> Sentence:
    """Draw a sentence whose pattern is, or is not, among the held-out ones."""
    clauses = list(_CLAUSES)
    weights = np.array([_CLAUSES[c][1] for c in clauses])
    while True:
        clause = clauses[int(rng.choice(len(clauses), p=weights / weights.sum()))]
        maker, _, takes = _CLAUSES[clause]
        frame = _pick(rng, frames(takes))
        pattern = (clause, *frame)
        if (pattern in HELD_OUT) == held_out:
            return _fill(rng, pattern, maker, takes)


def _fill(rng: np.random.Generator, pattern: Pattern, maker: Callable, takes: str) -> Sentence:
    clause, before, behind = pattern
    tense = next((t for t in (*_TENSE_TIMES, "day") if t in takes), "present")

    def slot(kind: str) -> Phrase:
        return _pick(rng, v.PLACES) if kind == "place" else _time(rng, tense)

    names: list[int] = []
    en, fr = maker(rng, names)
    if before != "-":
        a, b = slot(before)
        en, fr = f"{a}, {en}", f"{b}, {fr}"
    for kind in behind.split() if behind != "-" else ():
        a, b = slot(kind)
        en, fr = f"{en} {a}", f"{fr} {b}"
    end = "?" if clause in _QUESTIONS else "."
    return Sentence(pattern, _capital(en) + end, _capital(fr) + end, len(names))


def _capital(text: str) -> str:
    return text[0].upper() + text[1:]
