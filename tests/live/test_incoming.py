"""Chunks in any form and of any size to the samples that the model hears."""

import numpy as np
import pytest
import soxr
from hypothesis import given, settings
from hypothesis import strategies as st

from granite_mlx.errors import AudioError
from granite_mlx.live.incoming import Incoming, checked_chunk

RNG = np.random.default_rng(7)
SOUND = (0.3 * RNG.standard_normal(24_000)).astype(np.float32)


def resampled(sound: np.ndarray, rate: int, borders: list[int]) -> np.ndarray:
    incoming = Incoming(rate)
    parts = np.split(sound, sorted(borders))
    return np.concatenate([*(incoming.push(part) for part in parts), incoming.flush()])


@settings(max_examples=40, deadline=None)
@given(
    rate=st.sampled_from([8_000, 24_000, 44_100, 48_000]),
    borders=st.lists(st.integers(0, len(SOUND)), max_size=30),
)
def test_chunks_leave_no_trace(rate: int, borders: list[int]) -> None:
    """In one piece, as offline: no click at a border, nothing lost at the end."""
    whole = soxr.resample(SOUND, rate, 16_000, quality="HQ")
    found = resampled(SOUND, rate, borders)
    assert found.dtype == np.float32
    assert len(found) == len(whole)
    np.testing.assert_allclose(found, whole, atol=1e-5)


def test_chunks_of_one_sample_are_the_same_to_the_bit() -> None:
    sound = SOUND[:3000]
    one_by_one = resampled(sound, 24_000, [*range(1, len(sound))])
    np.testing.assert_array_equal(one_by_one, resampled(sound, 24_000, []))


def test_16_khz_comes_as_it_is() -> None:
    np.testing.assert_array_equal(resampled(SOUND, 16_000, [5, 700]), SOUND)


def test_behind_a_flush_it_begins_anew() -> None:
    incoming = Incoming(24_000)
    both = []
    for _ in range(2):
        both.append(np.concatenate([incoming.push(SOUND), incoming.flush()]))
    np.testing.assert_array_equal(*both)


def test_forms_of_a_chunk() -> None:
    pcm = np.array([-32768, 0, 1, 32767], np.int16)
    wanted = (pcm / 32768).astype(np.float32)
    for chunk in (pcm, pcm.tobytes(), bytearray(pcm.tobytes()), memoryview(pcm.tobytes()), wanted):
        found = checked_chunk(chunk)
        assert found.dtype == np.float32
        np.testing.assert_array_equal(found, wanted)
    np.testing.assert_array_equal(checked_chunk(wanted.astype(np.float64)), wanted)


def test_a_chunk_is_copied() -> None:
    buffer = np.zeros(4, np.float32)
    kept = checked_chunk(buffer)
    buffer[:] = 1
    assert not kept.any()


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e30])
def test_what_is_no_sound_is_refused(value: float) -> None:
    with pytest.raises(AudioError, match="no sound"):
        checked_chunk(np.array([0, value], np.float32))
