"""What is asked about an utterance, and what the right answer is.

The instructions are those of the product's own table (`granite_mlx.decoding.prompts`); a test
compares the two. A keyword list asks for a spelling: the answer takes the list's spelling of a name
that is spoken, the usual spelling where the list does not have it, and nothing from the list that
is not spoken.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from demo import vocabulary as v
from demo.corpus import NamePools, Utterance
from demo.sentences import plain

ASR = "can you transcribe the speech into a written format?"
ASR_PUNCTUATED = "transcribe the speech with proper punctuation and capitalization."
ASR_PUNCTUATED_GIVEN = "transcribe the {} speech with proper punctuation and capitalization."
ASR_KEYWORDS = "transcribe the speech to text."
AST = "translate the speech to {}."
AST_PUNCTUATED = "translate the speech to {} with proper punctuation and capitalization."
KEYWORDS = " Keywords: {}"
LANGUAGE_NAMES = {"en": "English", "fr": "French"}
OTHER = {"en": "fr", "fr": "en"}

TRANSLATIONS = 0.45  # of what is asked about sentences
SHORT_LISTS = 0.15  # of no more than one term beside the names; others have up to eleven

_DISTRACTING_WORDS = tuple(
    [n.en for n in v.NOUNS] + [n.fr for n in v.NOUNS] + [city for pair in v.CITIES for city in pair]
    + "Kubernetes Siobhan Nguyen Python Metal Wagner Zürich Oslo granite penicillin".split()
)  # fmt: skip


@dataclass(frozen=True)
class Question:
    """An instruction, the answer, and what the audio says in usual spellings."""

    instruction: str
    answer: str
    heard: str
    letters: str | None = None  # of what is heard, where words are cut

    @property
    def terms(self) -> list[str]:
        """The keyword list."""
        _, _, after = self.instruction.partition(KEYWORDS.format(""))
        return after.split(", ") if after else []

    @property
    def is_easy(self) -> bool:
        """A transcript as it is heard: no list, no translation."""
        return not self.terms and "translate" not in self.instruction


def heard(u: Utterance) -> str:
    """The plain transcript in usual spellings: the target of both CTC losses."""
    return plain(u.en if u.language == "en" else u.fr).format(*(usual for usual, _ in u.names))


def ask(
    u: Utterance, rng: np.random.Generator, pools: NamePools, translations: bool = True
) -> Question:
    """Draw a task for an utterance; without `translations` for a part of one."""
    translate = rng.random() < (0.12 if u.kind == "digits" else TRANSLATIONS) and translations
    punctuate = rng.random() < 0.3
    language = OTHER[u.language] if translate else u.language
    keywords, spellings = _keyword_list(u, rng, pools)
    if translate:
        wording = (AST_PUNCTUATED if punctuate else AST).format(LANGUAGE_NAMES[language])
    elif punctuate:
        given = rng.random() < 0.3
        wording = ASR_PUNCTUATED_GIVEN if given else ASR_PUNCTUATED
        wording = wording.format(LANGUAGE_NAMES[language])
    else:
        wording = ASR if not keywords or rng.random() < 0.6 else ASR_KEYWORDS
    text = u.en if language == "en" else u.fr
    answer = (text if punctuate else plain(text)).format(*spellings)
    return Question(wording + keyword_clause(keywords), answer, heard(u))


def scramble(question: Question, other: Question, rng: np.random.Generator) -> Question:
    """A plain transcript in no order, with words of another one: only listening can get it right.

    Sentences follow a few patterns. A decoder that has read nothing else writes the likely word
    where it should write the one that is said, most of all in patterns that it does not know.
    """
    if not all(q.instruction.startswith((ASR, ASR_KEYWORDS)) for q in (question, other)):
        return question
    written, said = question.answer.split(), question.heard.split()
    if len(written) != len(said):
        return question
    strange = other.heard.split()
    for i in np.flatnonzero(rng.random(len(said)) < 0.25):
        if written[i] == said[i] and said[i].islower() and strange:
            written[i] = said[i] = strange[int(rng.integers(len(strange)))]
    order = rng.permutation(len(said))
    return Question(question.instruction, " ".join(written[i] for i in order),
                    " ".join(said[i] for i in order))  # fmt: skip


def join(question: Question, other: Question) -> Question:
    """Two translations one after the other, where both are asked for in the same words.

    Sentences follow a few patterns, and what has learnt to translate whole patterns loses parts of
    those that it does not know. Where a sentence may go on with another one, it goes part by part.
    """
    if question.instruction != other.instruction or "translate" not in question.instruction:
        return question
    return Question(question.instruction, f"{question.answer} {other.answer}",
                    f"{question.heard} {other.heard}")  # fmt: skip


def roll_call(language: str, rng: np.random.Generator, pools: NamePools) -> Question:
    """Nothing but names, most of them in a list: as many decisions as six sentences ask for."""
    pool = pools.real[language]
    n_said, n_others = int(rng.integers(2, 8)), int(rng.integers(0, 7))
    pairs = [pool[i] for i in rng.choice(len(pool), size=n_said + n_others, replace=False)]
    listed = [pair[rng.integers(2)] if rng.random() < 0.9 else None for pair in pairs]
    keywords = [term for term in listed if term is not None]
    keywords = [keywords[i] for i in rng.permutation(len(keywords))]
    said = list(zip(pairs, listed, strict=True))[:n_said]
    wording = ASR if rng.random() < 0.6 else ASR_KEYWORDS
    return Question(wording + keyword_clause(keywords),
                    " ".join(term or pair[0] for pair, term in said),
                    " ".join(pair[0] for pair, _ in said))  # fmt: skip


def keyword_clause(keywords: Sequence[str]) -> str:
    return KEYWORDS.format(", ".join(keywords)) if keywords else ""


def _keyword_list(
    u: Utterance, rng: np.random.Generator, pools: NamePools
) -> tuple[list[str], list[str]]:
    """Draw a list (often none) and the spelling that each name takes under it."""
    usual = [pair[0] for pair in u.names]
    if rng.random() < (0.85 if not u.names else 0.15 if u.made_up else 0.3):
        return [], usual
    listed, spellings = [], list(usual)
    for i, pair in enumerate(u.names):
        if rng.random() < 0.85:
            spellings[i] = pair[int(rng.random() < 0.6)]
            listed.append(spellings[i])
    short = rng.random() < SHORT_LISTS
    n_others = int(rng.integers(2) if short else rng.integers(1, 12))
    listed += [_distractor(u, rng, pools) for _ in range(n_others)]
    said = {s.lower() for pair in u.names for s in pair}
    keep = [t for t in listed if t in spellings or t.lower() not in said]
    keep = [keep[i] for i in rng.permutation(len(keep))]
    if rng.random() < 0.06:  # a list in lower case is copied in lower case
        spellings = [s.lower() if s in keep else s for s in spellings]
        keep = [t.lower() for t in keep]
    return list(dict.fromkeys(keep)), spellings


def _distractor(u: Utterance, rng: np.random.Generator, pools: NamePools) -> str:
    kind = rng.random()
    if kind < 0.1:
        return _DISTRACTING_WORDS[rng.integers(len(_DISTRACTING_WORDS))]
    if kind < 0.2 and u.names:  # near in spelling, other in sound
        return misspell(u.names[int(rng.integers(len(u.names)))][0], rng)
    pool = (pools.real if kind < 0.75 else pools.made_up)[u.language]
    return pool[rng.integers(len(pool))][rng.integers(2)]


_CONSONANTS = "bdfgklmnprstvz"


def misspell(name: str, rng: np.random.Generator) -> str:
    """Replace or insert one consonant, so that the word no longer sounds the same."""
    letters = list(name.lower())
    at = int(rng.integers(len(letters)))
    new = _CONSONANTS[rng.integers(len(_CONSONANTS))]
    if letters[at] in _CONSONANTS and letters[at] != new:
        letters[at] = new
    else:
        letters.insert(at, new)
    return "".join(letters).capitalize()
