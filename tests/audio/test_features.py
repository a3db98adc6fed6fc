import errno
import json
import math
from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np
import pytest

from granite_mlx.audio.features import FeatureConfig, log_mel, mel_bank, read_feature_config
from granite_mlx.errors import CheckpointError, UnsupportedModelError

CONFIG = FeatureConfig()
SMALL = FeatureConfig(n_fft=64, win_length=50, hop_length=20, n_mels=7)


def noise(n_samples: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 0.1, n_samples).astype(np.float32)


def features(samples: np.ndarray, config: FeatureConfig = CONFIG) -> np.ndarray:
    return np.array(log_mel(mx.array(samples), config))


# Against the definitions


def to_mel(hertz: float) -> float:
    return 2595 * math.log10(1 + hertz / 700)


def to_hertz(mel: float) -> float:
    return 700 * (10 ** (mel / 2595) - 1)


def slow_bank(config: FeatureConfig) -> np.ndarray:
    """HTK's triangles, one weight after the other: (n_bins, n_mels)."""
    nyquist = config.sampling_rate / 2
    step = to_mel(nyquist) / (config.n_mels + 1)
    bank = np.zeros((config.n_fft // 2 + 1, config.n_mels))
    for mel in range(config.n_mels):
        low, centre, high = (to_hertz((mel + k) * step) for k in range(3))
        for index in range(len(bank)):
            hertz = index * config.sampling_rate / config.n_fft
            if low < hertz <= centre:
                bank[index, mel] = (hertz - low) / (centre - low)
            elif centre < hertz < high:
                bank[index, mel] = (high - hertz) / (high - centre)
    return bank


def slow_log_mel(samples: np.ndarray, config: FeatureConfig) -> np.ndarray:
    """The features by a sum over every sample of every frame, in float64."""
    x = samples.astype(np.float64)
    last = len(x) - 1
    n_frames = len(x) // config.hop_length + 1
    hann = [math.sin(math.pi * n / config.win_length) ** 2 for n in range(config.win_length)]
    margin = (config.n_fft - config.win_length) // 2
    bins = np.arange(config.n_fft // 2 + 1)
    powers = np.zeros((n_frames, len(bins)))
    for frame in range(n_frames):
        total = np.zeros(len(bins), complex)
        for n, weight in enumerate(hann, start=margin):
            at = abs(frame * config.hop_length + n - config.n_fft // 2)  # mirrored at the start
            at = 2 * last - at if at > last else at  # and at the end
            total += weight * x[at] * np.exp(-2j * np.pi * bins * n / config.n_fft)
        powers[frame] = np.abs(total) ** 2
    decades = np.log10(np.maximum(powers @ slow_bank(config), 1e-10))
    scaled = np.maximum(decades, decades.max() - 8) / 4 + 1
    return scaled[: n_frames // 2 * 2].reshape(-1, 2 * config.n_mels)


@pytest.mark.parametrize("n_samples", [257, 400, 640, 1600, 1601, 1919, 1920])
def test_features_are_those_of_the_definitions(n_samples: int) -> None:
    samples = noise(n_samples, seed=n_samples)
    wanted = slow_log_mel(samples, CONFIG)
    np.testing.assert_allclose(features(samples), wanted, atol=1e-5)


@pytest.mark.parametrize("n_samples", [33, 39, 40, 79, 333])
def test_other_sizes_as_well(n_samples: int) -> None:
    samples = noise(n_samples, seed=n_samples)
    np.testing.assert_allclose(features(samples, SMALL), slow_log_mel(samples, SMALL), atol=1e-5)


def test_a_wide_range_of_levels() -> None:
    fade = np.logspace(0, -6, 3200).astype(np.float32)
    samples = noise(3200) * fade
    np.testing.assert_allclose(features(samples), slow_log_mel(samples, CONFIG), atol=1e-4)


# Frames


@pytest.mark.parametrize("base", [320, 3200])
def test_frame_counts_of_every_length(base: int) -> None:
    for n_samples in range(base, base + 320):
        n_mel_frames = n_samples // 160 + 1
        assert CONFIG.n_frames(n_samples) == n_mel_frames // 2
    for n_samples in range(base, base + 320, 53):
        assert features(noise(n_samples)).shape == (CONFIG.n_frames(n_samples), 160)


def test_frames_per_second() -> None:
    assert CONFIG.frames_per_second == 50
    assert CONFIG.n_frames(16_000 * 60) == 60 * 50


def test_two_frames_are_stacked_in_order() -> None:
    samples = noise(320 * 5)
    stacked = features(samples)
    late = features(samples, FeatureConfig(hop_length=320))  # every second frame only
    np.testing.assert_allclose(stacked[0, :80], late[0, :80], atol=1e-5)
    np.testing.assert_allclose(stacked[1, :80], late[0, 80:], atol=1e-5)
    assert np.abs(stacked[0, 80:] - late[0, 80:]).max() > 0.01


def test_too_few_samples_for_the_mirror() -> None:
    assert features(noise(257)).shape == (1, 160)
    with pytest.raises(ValueError, match="more than 256 samples, got 256"):
        log_mel(mx.array(noise(256)), CONFIG)


# Normalisation


def test_the_loudest_value_and_the_floor() -> None:
    samples = np.zeros(3200, np.float32)
    samples[1600] = 0.5  # a click
    values = features(samples)
    loudest = values.max()
    assert values.min() == pytest.approx(loudest - 2)  # 8 decades, divided by 4


def test_silence_is_all_floor() -> None:
    np.testing.assert_allclose(features(np.zeros(3200, np.float32)), -10 / 4 + 1)


def test_the_dropped_odd_frame_counts_for_the_maximum() -> None:
    n_samples = 160 * 20  # 21 frames, of which the last one is dropped
    quiet = noise(n_samples) * 1e-4
    loud = quiet.copy()
    loud[-100:] = noise(100, seed=1) * 10  # out of reach of all frames but the last two
    np.testing.assert_allclose(features(loud), slow_log_mel(loud, CONFIG), atol=1e-4)
    floor = features(loud).min()
    assert floor > features(quiet).min() + 0.5
    assert (features(loud)[:5] == floor).mean() > 0.5


@pytest.mark.parametrize("gain", [0.5, 4.0])
def test_gain_shifts_all_values_alike(gain: float) -> None:
    samples = noise(4000)
    shift = features(samples * np.float32(gain)) - features(samples)
    np.testing.assert_allclose(shift, math.log10(gain**2) / 4, atol=1e-4)


def test_a_tone_is_found_in_its_band() -> None:
    hertz = 1000.0
    samples = np.sin(2 * np.pi * hertz * np.arange(8000) / 16000).astype(np.float32)
    step = to_mel(8000) / 81
    bands = features(samples).reshape(-1, 80)[5:-5].argmax(-1)
    assert set(bands.tolist()) == {round(to_mel(hertz) / step) - 1}


# The mel bank


@pytest.mark.parametrize("config", [CONFIG, SMALL])
def test_mel_bank(config: FeatureConfig) -> None:
    bank = mel_bank(config)
    assert bank.shape == (config.n_fft // 2 + 1, config.n_mels)
    assert bank.dtype == np.float32
    np.testing.assert_allclose(bank, slow_bank(config), atol=1e-6)
    assert bank.min() >= 0
    assert bank.max() <= 1
    assert not bank[0].any()  # neither DC nor the highest frequency is heard
    assert bank[-1].max() < 1e-6


def test_neighbouring_triangles_add_up_to_one() -> None:
    step = to_mel(8000) / 81
    bins = np.arange(257) * 16000 / 512
    between_centres = (bins > to_hertz(step)) & (bins < to_hertz(80 * step))
    assert between_centres.sum() > 240
    np.testing.assert_allclose(mel_bank(CONFIG)[between_centres].sum(-1), 1, atol=1e-5)


# Reading the settings


def write(folder: Path, name: str, content: Any) -> Path:
    (folder / name).write_text(content if isinstance(content, str) else json.dumps(content))
    return folder


MELSPEC = {"hop_length": 100, "n_fft": 256, "n_mels": 40, "sample_rate": 16000, "win_length": 200}
READ = FeatureConfig(n_fft=256, win_length=200, hop_length=100, n_mels=40)


def test_defaults_without_a_file(tmp_path: Path) -> None:
    assert read_feature_config(tmp_path) == CONFIG


@pytest.mark.parametrize(
    "content",
    [
        {"melspec_kwargs": MELSPEC, "sampling_rate": 16000},
        {"melspec_kwargs": MELSPEC},
        {**MELSPEC, "sampling_rate": 16000},
        {"melspec_kwargs": {"n_mels": 40}, "n_fft": 256, "win_length": 200, "hop_length": 100},
    ],
)
def test_preprocessor_config(tmp_path: Path, content: Any) -> None:
    assert read_feature_config(write(tmp_path, "preprocessor_config.json", content)) == READ


@pytest.mark.parametrize("key", ["audio_processor", "feature_extractor"])
def test_processor_config_of_transformers_5(tmp_path: Path, key: str) -> None:
    content = {key: {"melspec_kwargs": MELSPEC}, "processor_class": "GraniteSpeechProcessor"}
    assert read_feature_config(write(tmp_path, "processor_config.json", content)) == READ


def test_a_processor_config_without_audio_settings(tmp_path: Path) -> None:
    write(tmp_path, "processor_config.json", {"audio_token": "<|audio|>"})
    assert read_feature_config(tmp_path) == CONFIG


def test_the_preprocessor_config_goes_first(tmp_path: Path) -> None:
    write(tmp_path, "preprocessor_config.json", {"melspec_kwargs": MELSPEC})
    write(tmp_path, "processor_config.json", {"audio_processor": {"n_mels": 64}})
    assert read_feature_config(tmp_path) == READ


@pytest.mark.parametrize("key", ["n_fft", "win_length", "hop_length", "n_mels", "sampling_rate"])
@pytest.mark.parametrize("value", [0, -1, True, 400.0, "400", None, [400]])
def test_wrong_settings_are_named(tmp_path: Path, key: str, value: Any) -> None:
    write(tmp_path, "preprocessor_config.json", {"sampling_rate": 16000, key: value})
    with pytest.raises(CheckpointError, match=rf"preprocessor_config\.json: {key} must be"):
        read_feature_config(tmp_path)


@pytest.mark.parametrize(
    "content", ["", "{", "{]", '{"n_mels": ' + "1" * 5000 + "}", '{"a": ' + "[" * 100_000]
)
def test_files_that_are_not_json(tmp_path: Path, content: str) -> None:
    write(tmp_path, "preprocessor_config.json", content)
    with pytest.raises(CheckpointError, match=r"preprocessor_config\.json is not valid JSON"):
        read_feature_config(tmp_path)


def test_a_file_that_is_no_object(tmp_path: Path) -> None:
    write(tmp_path, "preprocessor_config.json", [MELSPEC])
    with pytest.raises(CheckpointError, match=r"preprocessor_config\.json holds no JSON object"):
        read_feature_config(tmp_path)


def test_a_file_that_may_not_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: object, **kwargs: object) -> str:
        raise PermissionError(errno.EACCES, "Permission denied")  # root may read everything

    write(tmp_path, "preprocessor_config.json", {})
    monkeypatch.setattr(Path, "read_text", refuse)
    with pytest.raises(CheckpointError, match=r"cannot be read \(Permission denied\)"):
        read_feature_config(tmp_path)


def test_a_file_that_is_not_text(tmp_path: Path) -> None:
    (tmp_path / "processor_config.json").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(CheckpointError, match=r"processor_config\.json"):
        read_feature_config(tmp_path)


@pytest.mark.parametrize(
    "content", [{"sampling_rate": 8000}, {"melspec_kwargs": {"sample_rate": 8000}}]
)
def test_another_sample_rate(tmp_path: Path, content: Any) -> None:
    write(tmp_path, "preprocessor_config.json", content)
    with pytest.raises(UnsupportedModelError, match="8000"):
        read_feature_config(tmp_path)


@pytest.mark.parametrize("n_fft", [1025, 2048, 10**9])
def test_a_transform_longer_than_the_shortest_recordings(tmp_path: Path, n_fft: int) -> None:
    write(tmp_path, "preprocessor_config.json", {"n_fft": n_fft})
    with pytest.raises(CheckpointError, match="n_fft must not exceed 1024"):
        read_feature_config(tmp_path)


def test_a_window_longer_than_the_transform(tmp_path: Path) -> None:
    write(tmp_path, "preprocessor_config.json", {"n_fft": 256, "win_length": 400})
    with pytest.raises(CheckpointError, match="win_length"):
        read_feature_config(tmp_path)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("f_min", 50),
        ("f_max", 7600),
        ("power", 1.0),
        ("center", False),
        ("norm", "slaney"),
        ("mel_scale", "slaney"),
        ("unheard_of", 1),
    ],
)
def test_settings_that_are_not_computed(tmp_path: Path, key: str, value: Any) -> None:
    write(tmp_path, "preprocessor_config.json", {"melspec_kwargs": {**MELSPEC, key: value}})
    with pytest.raises(UnsupportedModelError, match=key):
        read_feature_config(tmp_path)


def test_settings_at_their_defaults(tmp_path: Path) -> None:
    spelt_out = {
        **MELSPEC, "f_min": 0.0, "f_max": None, "power": 2.0, "center": True,
        "pad_mode": "reflect", "norm": None, "mel_scale": "htk", "normalized": False,
    }  # fmt: skip
    write(tmp_path, "preprocessor_config.json", {"melspec_kwargs": spelt_out})
    assert read_feature_config(tmp_path) == READ


def test_melspec_kwargs_must_be_an_object(tmp_path: Path) -> None:
    write(tmp_path, "preprocessor_config.json", {"melspec_kwargs": [512]})
    with pytest.raises(CheckpointError, match="melspec_kwargs"):
        read_feature_config(tmp_path)
