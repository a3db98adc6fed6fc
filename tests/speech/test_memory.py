"""What stays in memory of recordings that are done."""

import mlx.core as mx
import numpy as np
import pytest

from granite_mlx import GraniteSpeech
from granite_mlx.loading import CACHE_LIMIT_BYTES
from granite_mlx.selftest.random_weights import random_signal

from .asking import RATE


@pytest.mark.slow
def test_recordings_of_any_length_leave_nothing(model: GraniteSpeech) -> None:
    rng = np.random.default_rng(0)
    sizes = rng.integers(1_000, 12_000, 200).tolist()
    signals = [random_signal(size) for size in sizes]
    options = {"sample_rate": RATE, "max_new_tokens": 3}
    model.transcribe_batch(signals[:16], **options)
    model.transcribe(signals[0], **options)
    before = mx.get_active_memory()
    model.transcribe_batch(signals[:100], **options)
    for signal in signals[100:]:
        model.transcribe(signal, **options)
    assert mx.get_active_memory() <= before + 10_000
    assert mx.get_cache_memory() <= CACHE_LIMIT_BYTES
