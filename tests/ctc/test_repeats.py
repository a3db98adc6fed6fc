"""How often a phrase stands in what was heard."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from granite_mlx.ctc.repeats import n_times


@pytest.mark.parametrize(
    ("phrase", "heard", "n"),
    [
        ("nine", "ninenineninenine", 4),
        ("nine", "oneninenineninnene", 4),  # badly heard
        ("no", "nonono", 3),
        ("no", "yesnoyes", 1),
        ("thankyou", "thecatsatonthemat", 0),
        ("thankyou", "", 0),
        ("thecatsat", "thecatsatonarugthecatsatthekatsat", 3),
        ("aaaa", "aaaa", 1),
    ],
)
def test_how_often(phrase: str, heard: str, n: int) -> None:
    assert n_times(phrase, heard) == n


@given(st.text("abcde", min_size=1, max_size=12), st.integers(0, 9))
def test_no_copy_is_missed(phrase: str, n: int) -> None:
    between = "xyz" * 5
    assert n_times(phrase, between.join([""] + [phrase] * n + [""])) == n
    assert n_times(phrase, phrase * n) >= n - (n > 3)  # a copy may begin in the one before


@given(st.text("abc", min_size=1, max_size=8), st.text("abc", max_size=40))
def test_copies_do_not_overlap(phrase: str, heard: str) -> None:
    least = len(phrase) - len(phrase) // 3
    assert n_times(phrase, heard) * least <= len(heard)
