from hypothesis import given
from hypothesis import strategies as st

from granite_mlx.recognition import MOST_PADDING, groups


@given(st.lists(st.integers(1, 2000), max_size=40), st.integers(1, 9))
def test_groups(lengths: list[int], n_most: int) -> None:
    lengths = sorted(lengths, reverse=True)
    found = list(groups(lengths, n_most))
    assert [place for group in found for place in group] == list(range(len(lengths)))
    for group in found:
        members = [lengths[place] for place in group]
        assert 1 <= len(members) <= n_most
        assert 1 - sum(members) / (members[0] * len(members)) <= MOST_PADDING


def test_like_goes_with_like() -> None:
    assert [list(g) for g in groups([100, 98, 90, 20, 19], 8)] == [[0, 1, 2], [3, 4]]
    assert [list(g) for g in groups([50] * 5, 2)] == [[0, 1], [2, 3], [4]]
