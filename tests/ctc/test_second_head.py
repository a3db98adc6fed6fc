from pathlib import Path

import mlx.core as mx
import numpy as np
import pytest

from granite_mlx.ctc.second_head import SecondHead, pool, read_second_head

N_LABELS, WIDTH = 9, 5


def test_frames_are_pooled_by_fours() -> None:
    rng = np.random.default_rng(0)
    frames, weights = rng.normal(size=(10, 3)), rng.uniform(0.1, 1, 10)
    got = np.array(pool(mx.array(frames, mx.float32), mx.array(weights, mx.float32)))
    for n, places in enumerate([range(4), range(4, 8), range(8, 10)]):
        share = weights[places] / weights[places].sum()
        np.testing.assert_allclose(got[n], share @ frames[places], atol=1e-5)


def test_blank_frames_do_not_count() -> None:
    frames = mx.array([[1.0], [2.0], [50.0], [50.0]])
    assert pool(frames, mx.array([1.0, 1.0, 0.0, 0.0])).tolist() == [[1.5]]
    assert pool(frames, mx.zeros(4)).tolist() == [[0.0]]


def test_labels_are_merged_and_shifted() -> None:
    labels = [0, 3, 3, 0, 3, 1, 8, 8]
    frames = np.zeros((4 * len(labels), WIDTH + N_LABELS), np.float32)  # earlier blocks in front
    for n, label in enumerate(labels):
        frames[4 * n : 4 * n + 4, WIDTH + label] = 1
    head = SecondHead(mx.eye(N_LABELS), mx.zeros(N_LABELS))
    assert head.token_ids(mx.array(frames), mx.zeros((len(frames), 6))) == [2, 2, 0, 7]


def save(path: Path, **tensors: mx.array) -> Path:
    mx.save_safetensors(str(path), tensors)
    return path


def test_a_head_is_read(tmp_path: Path) -> None:
    weight, bias = mx.random.normal((N_LABELS, WIDTH)), mx.random.normal((N_LABELS,))
    path = save(tmp_path / "head.safetensors", weight=weight, bias=bias)
    head = read_second_head(path, WIDTH, N_LABELS, mx.bfloat16)
    assert head is not None
    assert mx.array_equal(head.weight, weight.astype(mx.bfloat16)).item()
    assert mx.array_equal(head.bias, bias.astype(mx.bfloat16)).item()


@pytest.mark.parametrize(
    "tensors",
    [
        {"bias": mx.zeros(N_LABELS)},
        {"weight": mx.zeros((N_LABELS + 1, WIDTH))},
        {"weight": mx.zeros((N_LABELS, WIDTH)), "bias": mx.zeros(3)},
    ],
    ids=["no weight", "another size", "another bias"],
)
def test_one_that_does_not_fit_is_left_aside(tmp_path: Path, tensors: dict[str, mx.array]) -> None:
    path = save(tmp_path / "head.safetensors", **tensors)
    assert read_second_head(path, WIDTH, N_LABELS, mx.float32) is None


@pytest.mark.parametrize("content", [None, b"", b"as it is", b"\xff" * 100])
def test_one_that_is_none(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "head.safetensors"
    if content is not None:
        path.write_bytes(content)
    assert read_second_head(path, WIDTH, N_LABELS, mx.float32) is None
