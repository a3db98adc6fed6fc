"""Block by block or as a whole: the same samples, whatever decodes them."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from granite_mlx.audio.files import SAMPLE_RATE, AudioSource, load_audio, open_audio
from granite_mlx.audio.stream import Part
from granite_mlx.errors import AudioError

from .sounds import encode, mux, sound

RATES = (8_000, 16_000, 44_100, 48_000)


def blocks_of(source: AudioSource, part: Part | None = None, **options: Any) -> list[np.ndarray]:
    with open_audio(source, part or Part(), **options) as stream:
        return list(stream.blocks())


def sources(folder: Path) -> dict[str, bytes]:
    made = {
        f"{container} {rate}": encode(container, samples=sound(rate, 2.3), rate=rate)
        for container in ("WAV", "FLAC", "OGG", "AIFF", "CAF")
        for rate in RATES
    }
    for name, codec in [("a.m4a", "aac"), ("a.mp3", "libmp3lame"), ("a.webm", "libopus")]:
        made[name] = mux(folder / name, codec, samples=sound(48_000, 2.3))
    return made


def test_blocks_are_the_whole(tmp_path: Path) -> None:
    for name, source in sources(tmp_path).items():
        for start_s, end_s in ((0.0, None), (0.7, 1.9), (0.7, None), (0.0, 100.0)):
            blocks = blocks_of(source, Part(start_s, end_s))
            whole = load_audio(source, start_s=start_s, end_s=end_s)
            assert {block.dtype for block in blocks} == {np.dtype(np.float32)}
            assert {block.shape[1] for block in blocks} == {1}
            np.testing.assert_array_equal(np.concatenate(blocks)[:, 0], whole, err_msg=name)
            assert max(map(len, blocks)) <= SAMPLE_RATE
            assert len(blocks) > 3


def test_blocks_are_resampled_as_one_piece() -> None:
    import soxr

    samples = sound(44_100, 2.3)
    whole = soxr.resample(samples, 44_100, SAMPLE_RATE, quality="HQ")
    blocks = blocks_of(samples, sample_rate=44_100)
    np.testing.assert_allclose(np.concatenate(blocks)[:, 0], whole, atol=1e-6)


@pytest.mark.parametrize("rate", RATES)
def test_separate_channels_are_those_of_a_file_each(rate: int) -> None:
    left, right = sound(rate, 1.3), np.roll(sound(rate, 1.3), 999) * 0.5
    blocks = blocks_of(np.stack([left, right], axis=1), sample_rate=rate, separate=True)
    both = np.concatenate(blocks)
    for n, channel in enumerate((left, right)):
        alone = load_audio(channel, sample_rate=rate)
        np.testing.assert_allclose(both[:, n], alone, atol=1e-7)


def test_how_far_the_reading_is() -> None:
    for source in (encode("WAV"), encode("FLAC"), encode("OGG")):
        with open_audio(source, Part(1.0, 2.0)) as stream:
            assert stream.duration_s == 1.0
            fractions = [stream.fraction for _ in stream.blocks()]
        assert fractions == sorted(fractions)
        assert fractions[-1] == 1.0
        assert 0.2 < fractions[len(fractions) // 2] < 0.8


def test_how_far_where_the_header_does_not_tell(tmp_path: Path) -> None:
    with open_audio(mux(tmp_path / "a.aac", "aac", samples=sound(48_000, 30)), Part()) as stream:
        assert stream.duration_s is None
        fractions = [stream.fraction for _ in stream.blocks()]
    assert fractions == sorted(fractions)
    assert fractions[-1] == 1.0
    assert 0.2 < fractions[len(fractions) // 2] < 0.8


def test_what_is_before_damage_is_given() -> None:
    samples = sound(SAMPLE_RATE, 3)
    samples[40_000] = np.nan
    given: list[np.ndarray] = []
    with (
        open_audio(encode("WAV", "FLOAT", samples), Part()) as stream,
        pytest.raises(AudioError, match=r"nan at 2\.500 s"),
    ):
        given.extend(stream.blocks())
    assert stream.n_samples == sum(map(len, given)) == 40_000


def fail(block: np.ndarray) -> None:
    raise OSError("disk full")


def test_what_a_reader_raises_is_not_the_recording_s_fault() -> None:
    with (
        open_audio(encode("WAV"), Part()) as stream,
        pytest.raises(OSError, match="disk full"),
    ):
        list(map(fail, stream.blocks()))
