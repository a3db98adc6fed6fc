from collections import deque
from dataclasses import dataclass
from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from granite_mlx.running import MOST_PADDING, Order, OrderedPiece, next_group


@dataclass(frozen=True)
class Sound:
    """As much of `Asked` as grouping looks at."""

    samples: np.ndarray
    report: Any = None
    is_wanted: Any = None


def order(lengths: list[int], n_rows: int = 8) -> Order:
    return Order([Sound(np.zeros(n)) for n in lengths], n_rows, lambda: None)  # type: ignore[misc]


def n_frames(piece: OrderedPiece) -> int:
    return len(piece.asked.samples)


def groups(orders: list[Order], n_most: int) -> list[list[OrderedPiece]]:
    queue, found = deque(orders), []
    while group := next_group(queue, n_most, n_frames):
        found.append(group)
    return found


@given(st.lists(st.lists(st.integers(1, 2000), max_size=12), max_size=5), st.integers(1, 9))
def test_every_piece_is_in_one_group_and_little_of_that_is_padding(
    lengths: list[list[int]], n_most: int
) -> None:
    orders = [order(one) for one in lengths]
    found = groups(orders, n_most)
    assert sorted((orders.index(p.order), p.number) for group in found for p in group) == [
        (n, place) for n, one in enumerate(lengths) for place in range(len(one))
    ]
    for group in found:
        members = [n_frames(piece) for piece in group]
        assert 1 <= len(members) <= n_most
        assert max(members) == members[0]
        assert 1 - sum(members) / (members[0] * len(members)) <= MOST_PADDING + 1e-9


def test_like_goes_with_like() -> None:
    (one,) = [order([20, 100, 98, 19, 90])]
    assert [[n_frames(p) for p in g] for g in groups([one], 8)] == [[100, 98, 90], [20, 19]]


def test_orders_come_in_turn() -> None:
    long, short = order([100] * 6), order([20])
    found = groups([long, short], 2)
    assert [{id(p.order) for p in g} for g in found[:2]] == [{id(long)}, {id(short)}]


def test_an_order_has_no_more_rows_than_it_asked_for() -> None:
    assert [len(group) for group in groups([order([50] * 5, n_rows=2)], 8)] == [2, 2, 1]
