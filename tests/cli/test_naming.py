"""Names of outputs: distinct for any set of recordings, also where case does not count."""

from functools import partial
from pathlib import Path, PurePath

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from granite_mlx.cli.inputs import Recording
from granite_mlx.cli.naming import distinct_numbers, same_on_a_mac
from granite_mlx.cli.template import OutputName, check_template


def numbered(stem: str, number: int) -> list[PurePath]:
    return [PurePath(stem if number == 1 else f"{stem}-{number}")]


def distinct(stems: list[str], taken: str | None = None) -> list[str]:
    names = [partial(numbered, stem) for stem in stems]
    numbers = distinct_numbers(names, lambda place, path: str(path) != taken)
    return [str(name(number)[0]) for name, number in zip(names, numbers, strict=True)]


@pytest.mark.parametrize(
    ("stems", "names"),
    [
        (["a", "b"], ["a", "b"]),
        (["x", "x", "y", "x"], ["x", "x-2", "y", "x-3"]),
        (["x", "x", "x-2"], ["x", "x-3", "x-2"]),
        (["x-2", "x", "x"], ["x-2", "x", "x-3"]),
        (["x", "X"], ["x", "X-2"]),
        (["caf\u00e9", "cafe\u0301"], ["caf\u00e9", "cafe\u0301-2"]),
        (["CAF\u00c9", "cafe\u0301"], ["CAF\u00c9", "cafe\u0301-2"]),
        (["x", "taken", "x"], ["x", "taken-2", "x-2"]),
        (["a", "a/b"], ["a-2", "a/b"]),
        (["a/b", "A"], ["a/b", "A-2"]),
    ],
)
def test_names(stems: list[str], names: list[str]) -> None:
    assert distinct(stems, "taken") == names


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.sampled_from(["a", "A", "a-2", "a-2-2", "a-3", "b", "b-2"])))
def test_names_are_distinct_and_a_stem_that_is_alone_keeps_its_own(stems: list[str]) -> None:
    names = distinct(stems)
    assert len({name.casefold() for name in names}) == len(stems)
    folded = [stem.casefold() for stem in stems]
    for stem, name in zip(stems, names, strict=True):
        assert name.startswith(stem)
        if folded.count(stem.casefold()) == 1:
            assert name == stem


def test_a_number_from_an_earlier_run_is_kept() -> None:
    names = [partial(numbered, "x") for _ in range(4)]
    assert distinct_numbers(names, lambda place, path: True, {0: 3, 2: 1, 3: 1}) == [3, 2, 1, 4]


def test_thousands_of_one_name_do_not_take_for_ever() -> None:
    calls = 0

    def count(number: int) -> list[PurePath]:
        nonlocal calls
        calls += 1
        return numbered("x", number)

    assert distinct_numbers([count] * 3000, lambda place, path: True)[-1] == 3000
    assert calls < 30_000


PARTS = st.sampled_from(["a", "A", "b", "a.txt", "é", "E\u0301", "a-2", "..x", "-k", "two\nlines"])
PATHS = st.lists(PARTS, min_size=1, max_size=3).map("/".join)
SUFFIXES = st.sampled_from([".wav", ".WAV", ".mp3", ""])
TEMPLATES = st.sampled_from(
    [
        None,
        "{stem}.{ext}",
        "{folder}/{stem}.{language}.{ext}",
        "{stem}/{language}.{ext}",
        "{ext}/{folder}-{stem}.{source_ext}.{ext}",
        "one.{ext}",
        "{{x}}/{stem}.{ext}",
    ]
)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.lists(st.tuples(PATHS, SUFFIXES, st.booleans()), max_size=12),
    TEMPLATES,
    st.sampled_from([("txt",), ("txt", "json")]),
)
def test_any_set_of_recordings_has_distinct_outputs_below_the_folder(
    files: list[tuple[str, str, bool]], template: str | None, formats: tuple[str, ...]
) -> None:
    if template is not None:
        check_template(template, formats)
    recordings = [
        Recording(f"in/{path}{suffix}", "in" if found else None) for path, suffix, found in files
    ]
    names = [OutputName(one, template, formats, "fr") for one in recordings]
    wanted = [name.numbered for name in names]
    numbers = distinct_numbers(wanted, lambda place, path: True)
    paths = [path for name, n in zip(names, numbers, strict=True) for path in name.numbered(n)]
    keys = [same_on_a_mac(str(path)) for path in paths]
    assert len(set(keys)) == len(files) * len(formats)
    parents = {same_on_a_mac(str(parent)) for path in paths for parent in path.parents}
    assert parents.isdisjoint(keys)
    for path in paths:
        assert not path.is_absolute()
        assert ".." not in path.parts
        assert (Path("/out") / path).resolve().is_relative_to("/out")
