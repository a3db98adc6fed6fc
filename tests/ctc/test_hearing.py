import math

import mlx.core as mx
import pytest

from granite_mlx.ctc.hearing import HIGHEST_ENTROPY, Hearing, highest_entropy


def test_the_least_sure_frame_counts() -> None:
    probabilities = mx.array([[1.0, 1e-30, 1e-30, 1e-30], [0.25] * 4, [0.5, 0.5, 1e-30, 1e-30]])
    assert highest_entropy(mx.log(probabilities)) == pytest.approx(math.log(4), abs=1e-5)
    assert highest_entropy(mx.log(probabilities[2:])) == pytest.approx(math.log(2), abs=1e-5)
    assert highest_entropy(mx.log(probabilities[:1])) == pytest.approx(0.0, abs=1e-5)


def test_half_precision() -> None:
    logits = mx.array([[60.0, 0.0], [3.0, 3.0]], mx.float16)
    assert highest_entropy(logits) == pytest.approx(math.log(2), abs=1e-5)


@pytest.mark.parametrize(
    ("text", "entropy", "is_sure"),
    [("words", 0.1, True), ("words", HIGHEST_ENTROPY, False), ("", 0.1, False),
     ("words", math.nan, False)],
)  # fmt: skip
def test_what_may_stand(text: str, entropy: float, is_sure: bool) -> None:
    assert Hearing(text, entropy).is_sure == is_sure
