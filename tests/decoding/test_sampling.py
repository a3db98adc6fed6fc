from typing import Any

import mlx.core as mx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from granite_mlx.decoding.sampling import Sampler, greedy, keep_nucleus, make_sampler


def logits_of(*rows: list[float]) -> mx.array:
    """Logits with these probabilities."""
    return mx.log(mx.array(rows))


def drawn(sampler: Sampler, logits: mx.array, n: int) -> list[int]:
    return [int(sampler(logits)[0].item()) for _ in range(n)]


HALVES = [0.5, 0.25, 0.125, 0.0625, 0.0625]


# Greedy


def test_temperature_zero_is_greedy() -> None:
    logits = logits_of(HALVES, HALVES[::-1])
    assert make_sampler() is greedy
    assert make_sampler(0.0, 0.5, 7) is greedy
    assert greedy(logits).tolist() == [0, 4]


# Arguments


@pytest.mark.parametrize("temperature", [-0.1, float("inf"), float("nan"), -float("inf")])
def test_temperatures_out_of_range(temperature: float) -> None:
    with pytest.raises(ValueError, match="temperature"):
        make_sampler(temperature)


@pytest.mark.parametrize("top_p", [0.0, -0.5, 1.001, float("nan")])
def test_top_p_out_of_range(top_p: float) -> None:
    with pytest.raises(ValueError, match="top_p"):
        make_sampler(1.0, top_p)


@pytest.mark.parametrize("wrong", ["0.5", None, [1.0]])
def test_numbers_of_wrong_types(wrong: Any) -> None:
    with pytest.raises(TypeError, match="temperature"):
        make_sampler(wrong)
    with pytest.raises(TypeError, match="top_p"):
        make_sampler(1.0, wrong)


@pytest.mark.parametrize("wrong", [1.5, "7", True, [1]])
@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_seeds_are_whole_numbers(temperature: float, wrong: Any) -> None:
    with pytest.raises(TypeError, match="seed"):
        make_sampler(temperature, 1.0, wrong)


@pytest.mark.parametrize("wrong", [-1, 2**64])
def test_seeds_out_of_range(wrong: int) -> None:
    with pytest.raises(ValueError, match="seed"):
        make_sampler(1.0, 1.0, wrong)


@pytest.mark.parametrize("seed", [0, 2**64 - 1])
def test_largest_and_smallest_seed(seed: int) -> None:
    assert len(drawn(make_sampler(1.0, 1.0, seed), logits_of(HALVES), 3)) == 3


# Sampling


def test_a_seed_repeats_itself() -> None:
    flat = mx.zeros((1, 1000))
    first, second, other = (drawn(make_sampler(1.0, 1.0, s), flat, 20) for s in (3, 3, 4))
    assert first == second
    assert first != other
    assert len(set(first)) > 10  # and moves on from token to token


def test_without_a_seed_no_two_samplers_agree() -> None:
    flat = mx.zeros((1, 1000))
    mx.random.seed(5)
    first = drawn(make_sampler(1.0), flat, 20)
    mx.random.seed(5)
    assert drawn(make_sampler(1.0), flat, 20) != first


@pytest.mark.parametrize("seed", [None, 3])
def test_the_caller_s_random_numbers_are_left_alone(seed: int | None) -> None:
    mx.random.seed(5)
    wanted = mx.random.uniform(shape=(4,)).tolist()
    mx.random.seed(5)
    drawn(make_sampler(1.0, 0.9, seed), mx.zeros((1, 50)), 5)
    assert mx.random.uniform(shape=(4,)).tolist() == wanted


def test_rows_are_drawn_apart() -> None:
    rows = make_sampler(1.0, 1.0, 1)(mx.zeros((64, 1000)))
    assert rows.shape == (64,)
    assert len(set(rows.tolist())) > 32


@pytest.mark.parametrize(("temperature", "power"), [(1.0, 1.0), (0.5, 2.0), (2.0, 0.5)])
def test_shares_follow_the_temperature(temperature: float, power: float) -> None:
    wanted = np.array(HALVES) ** power
    wanted /= wanted.sum()
    n = 4000
    tokens = make_sampler(temperature, 1.0, 11)(mx.broadcast_to(logits_of(HALVES), (n, 5)))
    shares = np.bincount(np.array(tokens), minlength=5) / n
    np.testing.assert_allclose(shares, wanted, atol=0.035)  # more than four standard deviations


@pytest.mark.parametrize("temperature", [1e-3, 1e-30, 1e-38, 5e-324])
@pytest.mark.parametrize("top_p", [1.0, 0.9])
def test_near_zero_it_is_greedy(temperature: float, top_p: float) -> None:
    logits = mx.array([[3.0, 9.0, 8.9, -50.0]])
    assert set(drawn(make_sampler(temperature, top_p, 2), logits, 20)) == {1}


def test_a_small_nucleus_is_greedy() -> None:
    assert set(drawn(make_sampler(5.0, 1e-6, 2), logits_of(HALVES), 20)) == {0}


@pytest.mark.parametrize("dtype", [mx.float16, mx.bfloat16])
def test_half_precision(dtype: mx.Dtype) -> None:
    logits = logits_of([0.5, 0.5, 0.0]).astype(dtype)
    assert set(drawn(make_sampler(1.0, 0.99, 2), logits, 30)) == {0, 1}


# The nucleus


@pytest.mark.parametrize(
    ("top_p", "kept"),
    [(0.01, 1), (0.49, 1), (0.5, 1), (0.51, 2), (0.75, 2), (0.8, 3), (0.875, 3), (0.9, 4),
     (0.99, 5)],
)  # fmt: skip
def test_smallest_set_that_reaches_top_p(top_p: float, kept: int) -> None:
    order = [3, 0, 4, 2, 1]  # where each of the sorted probabilities stands
    shuffled = [HALVES[order.index(i)] for i in range(5)]
    result = np.array(keep_nucleus(logits_of(shuffled), top_p))[0]
    assert np.isfinite(result).sum() == kept
    assert np.isfinite(result[order[: min(kept, 3)]]).all()  # the last two are alike


@settings(deadline=None)
@given(
    rows=st.lists(st.lists(st.floats(-30, 30), min_size=6, max_size=6), min_size=1, max_size=3),
    top_p=st.floats(0.01, 0.999),
)
def test_nucleus_of_any_logits(rows: list[list[float]], top_p: float) -> None:
    logits = np.array(rows, np.float32)
    result = np.array(keep_nucleus(mx.array(logits), top_p))
    kept = np.isfinite(result)
    np.testing.assert_array_equal(result[kept], logits[kept])
    exponentials = np.exp(logits.astype(np.float64) - logits.max(-1, keepdims=True))
    shares = exponentials / exponentials.sum(-1, keepdims=True)
    for row in range(len(rows)):
        inside, outside = shares[row][kept[row]], shares[row][~kept[row]]
        assert inside.sum() >= top_p - 1e-5  # it reaches top_p
        assert inside.sum() - inside.min() < top_p + 1e-5  # and would not with one less
        assert not len(outside) or outside.max() <= inside.min() + 1e-12
