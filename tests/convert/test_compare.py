import math
from pathlib import Path

import mlx.core as mx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from granite_mlx.convert import compare
from granite_mlx.convert.compare import Agreement, Difference, kl_nats, weight_differences
from granite_mlx.convert.source import StoredTensors
from granite_mlx.model.shards import read_headers

from .small import small_checkpoint, stored


def test_a_difference_by_hand() -> None:
    found = Difference.between(np.array([3.0, 0.0]), np.array([[3.0, 4.0]]))
    assert found.relative_error == pytest.approx(4 / 3)
    assert found.cosine == pytest.approx(3 / 5)


def test_differences_add_up_to_that_of_the_whole() -> None:
    rng = np.random.default_rng(1)
    a, b = rng.normal(size=(2, 50)).astype(np.float32)
    whole = Difference.between(a, b)
    parts = Difference.between(a[:20], b[:20]) + Difference.between(a[20:], b[20:])
    assert parts.relative_error == pytest.approx(whole.relative_error)
    assert parts.cosine == pytest.approx(whole.cosine)


def test_a_small_error_shows_in_the_cosine() -> None:
    """float32 sums would lose it."""
    a = np.ones(1 << 20, np.float32)
    b = a + np.float32(1e-4) * np.where(np.arange(a.size) % 2, 1, -1).astype(np.float32)
    found = Difference.between(a, b)
    assert found.relative_error == pytest.approx(1e-4, rel=1e-3)
    assert 1 - found.cosine == pytest.approx(0.5e-8, rel=0.05)


@pytest.mark.parametrize(
    ("source", "converted", "relative_error", "cosine"),
    [
        ([0.0, 0.0], [0.0, 0.0], 0.0, 1.0),
        ([0.0, 0.0], [1.0, 0.0], math.inf, 0.0),
        ([1.0, 0.0], [0.0, 0.0], 1.0, 0.0),
        ([1.0, 0.0], [math.nan, 0.0], math.nan, math.nan),
        ([1.0, 0.0], [math.inf, 0.0], math.inf, math.nan),
    ],
)
def test_differences_at_the_edge(
    source: list[float], converted: list[float], relative_error: float, cosine: float
) -> None:
    found = Difference.between(np.array(source), np.array(converted))
    assert found.relative_error == pytest.approx(relative_error, nan_ok=True)
    assert found.cosine == pytest.approx(cosine, nan_ok=True)


def test_divergence_by_hand() -> None:
    p, q = np.log([[0.5, 0.5], [0.9, 0.1]]), np.log([[0.25, 0.75], [0.9, 0.1]])
    expected = 0.5 * math.log(2) + 0.5 * math.log(2 / 3)
    assert kl_nats(p, q) == pytest.approx(expected)
    assert kl_nats(q, p) != pytest.approx(expected)


@settings(deadline=None)
@given(st.lists(st.floats(-30, 0), min_size=2, max_size=20), st.randoms())
def test_rounded_distributions_never_diverge_by_less_than_nothing(logits: list, random) -> None:
    shuffled = random.sample(logits, len(logits))
    p, q = (np.array([values]).astype(np.float16) for values in (logits, shuffled))
    assert kl_nats(p, p) == 0
    assert kl_nats(p, q) > -1e-12


def test_agreement() -> None:
    found = Agreement(3, 2, 0.3) + Agreement(1, 1, 0.1)
    assert found.top1 == 0.75
    assert found.mean_kl_nats == pytest.approx(0.1)
    assert math.isnan(Agreement().top1)
    assert math.isnan(Agreement().mean_kl_nats)


@pytest.mark.parametrize("block_values", [701, 1 << 22])
def test_weights_of_two_folders(
    tmp_path: Path, block_values: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compare, "BLOCK_VALUES", block_values)
    source = small_checkpoint(tmp_path / "source")
    tensors = stored(source)
    changed = "projector.linear.weight"
    kernel = "encoder.layers.0.conv.depth_conv.conv.weight"
    originals = {name: np.array(tensors[name]) for name in (changed, kernel)}
    tensors[changed] = tensors[changed] * 1.5
    tensors[kernel] = tensors[kernel].swapaxes(1, 2)  # as MLX has it
    other = small_checkpoint(tmp_path / "other", tensors=tensors)
    mx.eval(tensors)
    found = dict(
        weight_differences(*(StoredTensors(read_headers(folder)) for folder in (source, other)))
    )
    assert originals[kernel].shape[1:] == (1, 5)
    assert found.keys() == set(tensors)
    assert {name for name, difference in found.items() if difference.error} == {changed}
    assert found[changed].relative_error == pytest.approx(0.5)
    assert found[changed].cosine == pytest.approx(1)
    assert found[changed].source == pytest.approx(float((originals[changed] ** 2).sum()), rel=1e-5)
