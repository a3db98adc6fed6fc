"""Names that never collide: which number each recording's outputs get behind their name."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import PurePath

Name = Callable[[int], Sequence[PurePath]]
"""A number -> the paths of one recording's outputs; 1 is the name without a number."""

IsFree = Callable[[int, PurePath], bool]
"""May the recording at this place write this path?"""


def distinct_numbers(
    names: Sequence[Name], is_free: IsFree, settled: Mapping[int, int] | None = None
) -> list[int]:
    """For each name the number that makes it unlike all others: 1, or 2, 3, ... for later ones.

    Names that differ only in case or in how accents are composed are the same file on a Mac. No
    path is a folder of another one. A number is passed over where it would make the name of
    another recording. `settled` are numbers that recordings have from an earlier run; the first
    of two that collide keeps its own.
    """
    firsts = [_keys(name(1)) for name in names]
    own = {key for keys in firsts for key in keys}
    folders = {_key(parent) for name in names for path in name(1) for parent in path.parents}
    taken: set[str] = set()
    chosen: dict[int, int] = {}
    for place, number in (settled or {}).items():
        keys = _keys(names[place](number))
        if taken.isdisjoint(keys) and folders.isdisjoint(keys):
            chosen[place] = number
            taken.update(keys)

    latest: dict[str, int] = {}  # so that a thousand files of one name do not all count from 1

    def fits(place: int, number: int) -> bool:
        paths = names[place](number)
        keys = _keys(paths)
        return (
            taken.isdisjoint(keys)
            and folders.isdisjoint(keys)
            and (number == 1 or own.isdisjoint(keys))
            and all(is_free(place, path) for path in paths)
        )

    for place in range(len(names)):
        if place in chosen:
            continue
        group = "\0".join(firsts[place])
        number = next(n for n in _from(latest.get(group, 1)) if fits(place, n))
        latest[group] = chosen[place] = number
        taken.update(_keys(names[place](number)))
    return [chosen[place] for place in range(len(names))]


def same_on_a_mac(name: str) -> str:
    """What two names of one file have in common on a disk that does not tell case apart."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFD", name).casefold())


def _key(path: PurePath) -> str:
    return same_on_a_mac(str(path))


def _keys(paths: Iterable[PurePath]) -> list[str]:
    return [_key(path) for path in paths]


def _from(number: int) -> Iterator[int]:
    while True:
        yield number
        number += 1
