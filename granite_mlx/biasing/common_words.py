"""Words that a character head knows by heart: small ones, and names spelt unlike they sound.

What is like "for a" or "in" is seldom a name that was said, and in every sentence there are such
words. And where the head has learnt that a name is spelt Sean, it tells nobody that it heard a
Shawn. Both tables are of common knowledge, English, French, German, Spanish and Portuguese.
"""

from __future__ import annotations

import re
import unicodedata

from granite_mlx.biasing.sounds import BORDER, sounds

_SMALL = (
    "the a an of to in on at for and or is am are was were be been i you he she it we they me "
    "him them my your his her its our their this that these those not no with by from as but "
    "if so have has had do does did will would can could there here what who le la les l un "
    "une des du de d à au aux et ou où est en dans sur sous pour par avec je j tu il elle "
    "nous vous ils elles ce cette ces c mon ma mes son sa ses se s ne n pas que qu qui y der "
    "die das den dem ein eine einen einem und oder ist im auf zu von mit für ich er sie es "
    "wir ihr nicht el los las uno una o del al con por para yo lo su os um uma e em na da com "
    "eu ele ela não "
).split()

SMALL = frozenset(part for word in _SMALL for part in sounds(word).split(BORDER) if part)
"""The sounds of small words, without borders."""

SAID = dict(
    pair.split("=")
    for pair in (
        "sean=shawn shaun=shawn geoff=jeff geoffrey=jeffrey leigh=lee hugh=hyoo ian=eean "
        "ewan=yooan euan=yooan niamh=neev siobhan=shivawn aoife=eefa ciara=keera ciaran=keeran "
        "saoirse=sersha sinead=shinaid caitlin=katelin thomas=tomas theresa=tereza anthony=antony "
        "esther=ester joan=jone juan=hwan jose=hosay jesus=hesus jorge=horhay javier=havier "
        "joaquin=wakeen xavier=zavier jacques=jak georges=jorj jean=jan jacob=jaykob yves=eev "
        "louis=looee guy=gee benoit=benwa francois=franswa renee=renay chloe=klowee zoe=zowee "
        "phoebe=feebee penelope=penelopee isla=eyela stephen=steeven ralph=raif dwayne=dwane "
        "michael=mykel rachel=raychel raphael=rafael graham=gram vaughan=vawn nguyen=win "
        "wright=rite knight=nite hayley=haylee elijah=elyja isaiah=eyezaya amy=aimee "
        "laurent=loran bertrand=bertran vincent=vinsan thibault=tibo arnaud=arno renaud=reno "
        "margaux=margo marguerite=margereet "
    ).split()
)
"""A usual spelling -> one that sounds alike."""

_WORD = re.compile(r"[^\W\d_]+")


def said_otherwise(reading: str) -> str:
    """A reading with names spelt as they sound, where they are known not to be."""
    return _WORD.sub(lambda found: SAID.get(_plain(found[0]), found[0]), reading)


def _plain(word: str) -> str:
    """In lower case and without accents."""
    if word.isascii():
        return word.lower()
    taken_apart = unicodedata.normalize("NFKD", word.lower())
    return "".join(one for one in taken_apart if not unicodedata.combining(one))
