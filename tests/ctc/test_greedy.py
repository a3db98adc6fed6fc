import mlx.core as mx
import numpy as np
import pytest

from granite_mlx.ctc.greedy import greedy_text

N_OUTPUTS = 348


def text_of(best: list[int]) -> str:
    """Greedy text of logits whose largest output in each frame is the given one."""
    logits = np.random.default_rng(3).uniform(-1, 0, (len(best), N_OUTPUTS)).astype(np.float32)
    for row, index in zip(logits, best, strict=True):
        row[index] = 1.0
    return greedy_text(mx.array(logits))


@pytest.mark.parametrize(
    ("best", "text"),
    [
        ([0, 0, 0], ""),
        ([104, 105], "hi"),
        ([0, 104, 104, 0, 0, 105, 105, 105, 0], "hi"),
        ([108, 108, 0, 108], "ll"),  # a blank keeps letters apart
        ([108, 108, 108], "l"),
        ([104, 105, 104], "hih"),
        ([32, 104, 32, 105, 32, 0, 32], "h i"),  # no spaces around the text
        ([233, 255], "éÿ"),
        ([104, 256, 105], "hi"),  # beyond Latin-1 the order is not documented
        ([104, 300, 104], "hh"),  # but it keeps letters apart
        ([347], ""),
    ],
)
def test_text(best: list[int], text: str) -> None:
    assert text_of(best) == text


@pytest.mark.parametrize("dtype", [mx.float16, mx.bfloat16])
def test_half_precision(dtype: mx.Dtype) -> None:
    logits = mx.zeros((3, N_OUTPUTS))
    logits[0, 104] = logits[1, 0] = logits[2, 105] = 1.0
    assert greedy_text(logits.astype(dtype)) == "hi"
