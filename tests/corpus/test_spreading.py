from types import ModuleType

import pytest
from hypothesis import given
from hypothesis import strategies as st

from granite_mlx.corpus.errors import CorpusError
from granite_mlx.corpus.items import (
    Named,
    State,
    distinct,
    items_of,
    packed,
    task_of,
    unpacked_tasks,
)
from granite_mlx.corpus.spreading import LONGEST_LOT_S, in_part, length_s, lots_of, name_digest

DIGESTS = [name_digest(str(n)) for n in range(600)]


@pytest.mark.parametrize("n", [1, 2, 3, 7])
def test_each_content_is_in_one_part(n: int) -> None:
    parts = [[one for one in DIGESTS if in_part(one, (k, n))] for k in range(1, n + 1)]
    assert sorted(one for part in parts for one in part) == sorted(DIGESTS)
    assert min(map(len, parts)) > len(DIGESTS) / n / 2


@given(
    lengths=st.lists(st.floats(0.1, 4000), min_size=1, max_size=80),
    n_workers=st.integers(1, 5),
    most_files=st.integers(1, 9),
)
def test_lots_hold_everything_once_and_begin_with_the_longest(
    archives: ModuleType, lengths: list[float], n_workers: int, most_files: int
) -> None:
    items = [archives.item(str(n), length) for n, length in enumerate(lengths)]
    lots = lots_of(items, n_workers, most_files)
    assert sorted(one.sha256 for lot in lots for one in lot) == sorted(one.sha256 for one in items)
    assert all(len(lot) <= most_files for lot in lots)
    assert all(len(lot) == 1 or length_s(lot) <= LONGEST_LOT_S for lot in lots)
    assert [length_s(lot) for lot in lots] == sorted(map(length_s, lots), reverse=True)


@given(lengths=st.lists(st.floats(1, 3600), min_size=1, max_size=120), n_workers=st.integers(1, 6))
def test_workers_that_take_the_next_lot_end_close_together(
    archives: ModuleType, lengths: list[float], n_workers: int
) -> None:
    items = [archives.item(str(n), length) for n, length in enumerate(lengths)]
    busy_s = [0.0] * n_workers
    for lot in lots_of(items, n_workers, 8):
        busy_s[busy_s.index(min(busy_s))] += length_s(lot)
    fair_s = sum(lengths) / n_workers
    # No lot but a single long recording is more than a quarter of a fair share.
    assert max(busy_s) <= max(fair_s * 1.25, fair_s + max(lengths)) + 1e-6


def test_what_is_asked_differently_is_in_another_lot(archives: ModuleType) -> None:
    items = [archives.item(str(n), language="fr" if n % 3 else None) for n in range(60)]
    for lot in lots_of(items, 1, 8):
        assert len({one.asked for one in lot}) == 1


def test_a_length_that_is_not_known_is_guessed_by_the_size(archives: ModuleType) -> None:
    assert archives.item("a", None).length_s == 1.0


def test_one_content_under_two_names_is_one_item() -> None:
    state, other = State(1, 1, "ab", 1.0), State(1, 1, "cd", 1.0)
    a, b, c, d = (Named(name, f"/{name}") for name in "abcd")
    french = Named("f", "/f", language="fr")
    items, odd = items_of([(a, state), (c, other), (b, state), (d, other), (french, state)])
    assert [one.names for one in items] == [(a, b), (c, d)]
    assert [one for one, _ in odd] == [french]
    assert "same recording as a" in odd[0][1]


def test_an_id_stands_for_one_recording() -> None:
    a = Named("1", "/a")
    assert distinct([a, a]) == [a]
    with pytest.raises(CorpusError, match="the id '1' stands for two recordings"):
        distinct([a, Named("1", "/b")])


def test_tasks_come_back_from_texts_as_they_were(archives: ModuleType) -> None:
    task = task_of(archives.item("stray-\udcff-byte", language="fr"))
    text = packed([task])
    assert text.isascii()
    assert unpacked_tasks(text) == [task]
