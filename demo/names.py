"""Names that sound alike: the usual spelling first, then spellings that only a keyword list can ask for.

Real names are a table. Made-up names are drawn from syllables whose sounds have two spellings
(c/k, f/ph, i/y, ...): with hundreds of them the model learns to look a sound up in the list and
to copy it, where with a few real pairs it would learn the pairs by heart. Which pairs really sound
alike in a language is asked of espeak-ng (`homophones`), never assumed.
"""

import subprocess
from collections.abc import Iterable, Sequence

import numpy as np

NamePair = tuple[str, str]

REAL_PAIRS: tuple[NamePair, ...] = tuple(
    (usual, other)
    for usual, other in (
        pair.split("/")
        for pair in """
Catherine/Kathryn Eric/Erik Steven/Stephen Sarah/Sara John/Jon Philip/Phillip Jeffrey/Geoffrey
Sean/Shawn Brian/Bryan Alan/Allan Mark/Marc Ann/Anne Claire/Clare Nicholas/Nicolas Theresa/Teresa
Carl/Karl Christine/Kristine Rebecca/Rebekah Elizabeth/Elisabeth Matthew/Mathew Michelle/Michele
Rachel/Rachael Stuart/Stewart Neil/Neal Jane/Jayne Leslie/Lesley Lindsay/Lyndsay Hannah/Hanna
Sophie/Sofie Frederick/Frederic Gail/Gayle Kelly/Kelley Lynn/Lynne Marian/Marion Nancy/Nancie
Phoebe/Phebe Terry/Terri Tracy/Tracey Vivian/Vivien Zachary/Zackary Craig/Kraig Derek/Derrick
Dylan/Dillon Emily/Emilie Jeff/Geoff Aaron/Aron Alison/Allison Amy/Aimee Cameron/Kameron
Connor/Conor Hailey/Hayley Katie/Katy Lily/Lilly Monica/Monika Natalie/Nathalie Russell/Russel
Susan/Suzan Tony/Toni Victor/Viktor Laura/Lora Isaac/Izaac Caroline/Karoline Cathy/Kathy
Oscar/Oskar Rick/Ric Jack/Jak Simon/Symon Lucy/Lucie Peggy/Peggie Teddy/Teddie Molly/Mollie
Harry/Harrie Henry/Henrie Jenny/Jennie Bobby/Bobbie Sally/Sallie Patrick/Patric Dominic/Dominick
Erica/Erika Rebecca/Rebecka Max/Maxx Chris/Kris Christian/Kristian Clark/Clarke Brook/Brooke
Mathieu/Matthieu Philippe/Philipe Pascal/Pascale Gabriel/Gabrielle Daniel/Danielle Cyril/Cyrille
Axel/Axelle Michel/Michèle Joël/Joëlle Emmanuel/Emmanuelle Frédéric/Frédérique Valérie/Valéry
Martine/Martyne Thierry/Thiery Benoît/Benoit Jérôme/Gérôme Stéphane/Stefane Sylvie/Silvie
""".split()
    )
)

_ONSETS = (("k", "c"), ("f", "ph"), ("t", "t"), ("d", "d"), ("m", "m"), ("l", "l"), ("r", "r"),
           ("b", "b"), ("n", "n"), ("s", "s"), ("v", "v"), ("g", "g"), ("p", "p"), ("z", "z"))  # fmt: skip
_VOWELS = (("a", "a"), ("i", "y"), ("o", "o"), ("e", "e"), ("u", "u"), ("ee", "ea"), ("ai", "ay"))
_CODAS = (("k", "ck"), ("l", "ll"), ("n", "nn"), ("t", "tt"), ("s", "ss"), ("m", "m"), ("r", "rr"),
          ("f", "ff"), ("p", "pp"), ("d", "dd"))  # fmt: skip
_ENDINGS = (("y", "ie"), ("in", "yn"), ("an", "ann"), ("er", "er"), ("o", "oe"), ("is", "iss"))


def made_up_pairs(n: int, rng: np.random.Generator) -> list[NamePair]:
    """Draw `n` distinct candidate pairs; the alternative spelling differs in one place or more."""
    pairs: dict[str, str] = {}
    while len(pairs) < n:
        slots = [_ONSETS, _VOWELS, _CODAS]
        if rng.random() < 0.5:
            slots += [_ONSETS, _VOWELS, _CODAS][: int(rng.integers(2, 4))]
        slots += [_ENDINGS] if slots[-1] is not _VOWELS and rng.random() < 0.6 else []
        chosen = [slot[rng.integers(len(slot))] for slot in slots]
        usual = "".join(a for a, _ in chosen).capitalize()
        other = "".join(b if rng.random() < 0.6 else a for a, b in chosen).capitalize()
        if usual != other and 3 <= len(usual) <= 9:
            pairs.setdefault(usual, other)
    return list(pairs.items())


def phonemes(words: Sequence[str], voice: str) -> list[str]:
    """espeak-ng's phonemes of each word, one string each."""
    said = subprocess.run(
        ["espeak-ng", "-q", "-x", "-v", voice, "--stdin"],
        input="\n\n".join(f"{w}." for w in words),
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    if len(lines) != len(words):
        raise RuntimeError(f"espeak-ng gave {len(lines)} phoneme lines for {len(words)} words")
    return lines


def homophones(pairs: Iterable[NamePair], voices: Sequence[str]) -> set[NamePair]:
    """The pairs whose two spellings are said alike by every one of `voices`."""
    pairs = list(pairs)
    words = [word for pair in pairs for word in pair]
    alike = set(pairs)
    for voice in voices:
        said = phonemes(words, voice)
        alike &= {p for i, p in enumerate(pairs) if said[2 * i] == said[2 * i + 1]}
    return alike
