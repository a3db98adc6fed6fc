import mlx.core as mx
import pytest

from granite_mlx.decoding.verification import likely, n_accepted, n_equal


@pytest.mark.parametrize(
    ("drafted", "chosen", "n"),
    [([], [4], 0), ([4], [4, 5], 1), ([4, 5], [4, 6, 7], 1), ([4, 5], [5, 5, 5], 0),
     ([1, 2, 3], [1, 2, 3, 9], 3), ([1, 2, 3], [1, 9, 3, 4], 1)],
)  # fmt: skip
def test_tokens_that_the_decoder_would_choose(
    drafted: list[int], chosen: list[int], n: int
) -> None:
    assert n_equal(drafted, chosen) == n


@pytest.mark.parametrize(
    ("acceptable", "n"), [([], 0), ([True], 1), ([False, True], 0), ([True, True, False], 2)]
)
def test_all_up_to_the_first_that_is_not(acceptable: list[bool], n: int) -> None:
    assert n_accepted(acceptable) == n


@pytest.mark.parametrize("dtype", [mx.float32, mx.bfloat16])
def test_likely_tokens(dtype: mx.Dtype) -> None:
    logits = mx.log(mx.array([[0.75, 0.25, 1e-9], [0.7, 0.19, 0.11]])).astype(dtype)
    rule = likely(0.2)
    assert rule(logits, mx.array([0, 0])).tolist() == [True, True]
    assert rule(logits, mx.array([1, 1])).tolist() == [True, False]
    assert rule(logits + 50, mx.array([2, 2])).tolist() == [False, False]
    assert likely(0.1)(logits, mx.array([1, 2])).tolist() == [True, True]
