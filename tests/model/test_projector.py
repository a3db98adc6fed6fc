import mlx.core as mx
import numpy as np
import pytest

from granite_mlx.model.projector import Projector

from .tiny import network

WINDOW, QUERIES, FRAME, TEXT = 7, 2, 26, 36  # of tiny.CONFIG


@pytest.fixture(scope="module")
def projector() -> Projector:
    return network().projector


def random_frames(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def assert_close(ours: mx.array, wanted: mx.array, atol: float = 1e-5) -> None:
    assert ours.shape == wanted.shape
    np.testing.assert_allclose(np.array(ours), np.array(wanted), atol=atol)


@pytest.mark.parametrize(
    ("n_frames", "n_windows"), [(1, 1), (WINDOW - 1, 1), (WINDOW, 1), (WINDOW + 1, 2), (21, 3)]
)
def test_tokens_of_each_length(projector: Projector, n_frames: int, n_windows: int) -> None:
    tokens = projector(mx.array(random_frames(2, n_frames, FRAME)))
    assert tokens.shape == (2, n_windows * QUERIES, TEXT)


def test_windows_know_nothing_of_each_other(projector: Projector) -> None:
    frames = mx.array(random_frames(1, 3 * WINDOW, FRAME))
    parts = [projector(frames[:, n : n + WINDOW]) for n in (0, WINDOW, 2 * WINDOW)]
    assert_close(projector(frames), mx.concatenate(parts, axis=1))


@pytest.mark.parametrize("n_frames", [1, WINDOW + 2, 2 * WINDOW - 1])
def test_the_last_window_is_filled_with_zeros(projector: Projector, n_frames: int) -> None:
    frames = random_frames(1, n_frames, FRAME)
    filled = np.zeros((1, -(-n_frames // WINDOW) * WINDOW, FRAME), np.float32)
    filled[:, :n_frames] = frames
    assert_close(projector(mx.array(frames)), projector(mx.array(filled)))


def test_the_zeros_are_attended_to(projector: Projector) -> None:
    """As in the published model: a last window is not what a shorter one would be."""
    frames = random_frames(1, 3, FRAME)
    doubled = np.concatenate([frames, frames], axis=1)  # without zeros it would weigh the same
    difference = mx.abs(projector(mx.array(frames)) - projector(mx.array(doubled)))
    assert difference.max().item() > 1e-3


def test_frames_of_a_window_have_no_order(projector: Projector) -> None:
    frames = random_frames(1, WINDOW, FRAME)
    assert_close(projector(mx.array(frames)), projector(mx.array(frames[:, ::-1].copy())))


def test_queries_differ(projector: Projector) -> None:
    first, second = projector(mx.array(random_frames(1, WINDOW, FRAME)))[0]
    assert mx.abs(first - second).max().item() > 1e-2


@pytest.mark.parametrize("filling", [0.0, 50.0])
def test_in_a_batch_each_recording_gets_what_it_gets_alone(
    projector: Projector, filling: float
) -> None:
    lengths = [1, WINDOW - 1, WINDOW, WINDOW + 1, 3 * WINDOW]
    batch = np.full((len(lengths), max(lengths), FRAME), filling, np.float32)
    rows = [random_frames(n, FRAME, seed=n) for n in lengths]
    for row, values in zip(batch, rows, strict=True):
        row[: len(values)] = values
    tokens = projector(mx.array(batch), mx.array(lengths))
    for ours, row in zip(tokens, rows, strict=True):
        alone = projector(mx.array(row)[None])[0]
        assert_close(ours[: len(alone)], alone)


@pytest.mark.parametrize("dtype", [mx.float16, mx.bfloat16])
def test_half_precision(projector: Projector, dtype: mx.Dtype) -> None:
    frames = mx.array(random_frames(2, 3 * WINDOW, FRAME))
    tokens = network(dtype).projector(frames.astype(dtype), mx.array([1, 3 * WINDOW]))
    assert tokens.dtype == dtype
    assert mx.all(mx.isfinite(tokens)).item()
    wanted = np.array(projector(frames, mx.array([1, 3 * WINDOW])))
    error = np.array(tokens.astype(mx.float32)) - wanted
    limit = {mx.float16: 1e-2, mx.bfloat16: 5e-2}[dtype]
    assert np.linalg.norm(error) < limit * np.linalg.norm(wanted)
