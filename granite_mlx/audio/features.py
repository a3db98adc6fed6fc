"""Samples to the encoder's input: log-mel energies, two frames stacked, at 50 Hz.

The arithmetic is that of GraniteSpeechFeatureExtractor in transformers (torchaudio's MelSpectrogram
with its defaults). Normalisation looks at the loudest value of the whole input, so cutting a
recording changes its features: whoever cuts decides that on purpose.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np

from granite_mlx.errors import CheckpointError, UnsupportedModelError
from granite_mlx.model.folder import read_object

LARGEST_N_FFT = 1024
"""Half of it must be less than the shortest recording that is listened to, 40 ms."""

DYNAMIC_RANGE = 8.0  # decades below the loudest value that are kept
SMALLEST_POWER = 1e-10

COMPUTED = {
    "f_min": 0,
    "power": 2,
    "normalized": False,
    "center": True,
    "pad_mode": "reflect",
    "mel_scale": "htk",
}
"""torchaudio's other settings and the values that `log_mel` computes; None is their default."""


@dataclass(frozen=True)
class FeatureConfig:
    """Settings of the log-mel features; the defaults are those of every published checkpoint."""

    sampling_rate: int = 16000
    n_fft: int = 512
    win_length: int = 400
    hop_length: int = 160
    n_mels: int = 80

    def n_frames(self, n_samples: int) -> int:
        """Encoder frames (50 a second) of `n_samples` samples."""
        return (n_samples // self.hop_length + 1) // 2

    @property
    def frames_per_second(self) -> float:
        return self.sampling_rate / (2 * self.hop_length)


def read_feature_config(folder: Path) -> FeatureConfig:
    """Read preprocessor_config.json, or processor_config.json as transformers 5 writes it.

    Without either file the defaults hold.

    Raises:
        CheckpointError: a file that cannot be read or holds no JSON object, or an ill-typed value.
        UnsupportedModelError: a sample rate other than 16 kHz, which nothing here resamples to,
            or a setting that `log_mel` does not compute.
    """
    for name in ("preprocessor_config.json", "processor_config.json"):
        path = folder / name
        if not path.is_file():
            continue
        settings = _melspec_settings(read_object(path))
        if settings is not None:
            return _parse(settings, path)
    return FeatureConfig()


def _melspec_settings(raw: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The settings lie at the top, under `melspec_kwargs`, or in processor_config's audio part."""
    for key in ("audio_processor", "feature_extractor"):
        if isinstance(raw.get(key), Mapping):
            return _melspec_settings(raw[key])
    merged = dict(raw)
    if isinstance(raw.get("melspec_kwargs"), Mapping):
        merged.update(raw["melspec_kwargs"])
    merged.setdefault("sampling_rate", merged.get("sample_rate", 16000))
    known = set(FeatureConfig.__dataclass_fields__)
    return merged if known & set(raw) or "melspec_kwargs" in raw else None


def _parse(settings: Mapping[str, Any], path: Path) -> FeatureConfig:
    values: dict[str, int] = {}
    for key in FeatureConfig.__dataclass_fields__:
        if key not in settings:
            continue
        value = settings[key]
        if isinstance(value, bool) or not isinstance(value, int) or value <= 0:
            raise CheckpointError(f"{path}: {key} must be a positive integer, not {value!r}.")
        values[key] = value
    _check_computed(settings.get("melspec_kwargs") or {}, path)
    config = FeatureConfig(**values)
    if config.sampling_rate != 16000:
        raise UnsupportedModelError(
            f"{path}: sampling_rate {config.sampling_rate} is not supported; only 16000 is."
        )
    if config.n_fft > LARGEST_N_FFT:
        raise CheckpointError(f"{path}: n_fft must not exceed {LARGEST_N_FFT}.")
    if config.win_length > config.n_fft:
        raise CheckpointError(f"{path}: win_length must not exceed n_fft.")
    return config


def _check_computed(melspec: Any, path: Path) -> None:
    if not isinstance(melspec, Mapping):
        raise CheckpointError(f"{path}: melspec_kwargs must be an object, not {melspec!r}.")
    for key in melspec.keys() - FeatureConfig.__dataclass_fields__.keys() - {"sample_rate"}:
        value = melspec[key]
        if value is not None and value != COMPUTED.get(key):
            raise UnsupportedModelError(
                f"{path}: melspec_kwargs.{key} is {value!r}, which is not supported."
            )


def encoder_input(
    samples: np.ndarray[Any, np.dtype[np.float32]], config: FeatureConfig, dtype: mx.Dtype
) -> mx.array:
    """Samples (n_samples,) of one recording -> (1, n_frames, 2 * n_mels) in a network's `dtype`."""
    return log_mel(mx.array(samples), config)[None].astype(dtype)


def log_mel(samples: mx.array, config: FeatureConfig) -> mx.array:
    """(n_samples,) float32 at 16 kHz -> (n_frames, 2 * n_mels) float32.

    Raises:
        ValueError: fewer samples than reflection at the borders needs (n_fft / 2 + 1).
    """
    half = config.n_fft // 2
    n_samples = samples.shape[0]
    if n_samples <= half:
        raise ValueError(f"log_mel needs more than {half} samples, got {n_samples}.")
    padded = mx.concatenate([samples[half:0:-1], samples, samples[-2 : -half - 2 : -1]])
    n_mel_frames = n_samples // config.hop_length + 1
    frames = mx.as_strided(padded, (n_mel_frames, config.n_fft), (config.hop_length, 1))
    spectrum = mx.fft.rfft(frames * mx.array(_window(config)), axis=-1)
    power = mx.square(spectrum.real) + mx.square(spectrum.imag)  # (n_mel_frames, n_fft / 2 + 1)
    mel = power @ mx.array(mel_bank(config))  # (n_mel_frames, n_mels)
    decades = mx.log10(mx.maximum(mel, SMALLEST_POWER))
    loudest = mx.max(decades)  # over all frames, the odd last one included
    decades = decades[: 2 * config.n_frames(n_samples)]
    scaled = mx.maximum(decades, loudest - DYNAMIC_RANGE) / 4 + 1
    return scaled.reshape(-1, 2 * config.n_mels)


@functools.cache
def _window(config: FeatureConfig) -> np.ndarray[Any, np.dtype[np.float32]]:
    """A periodic Hann window in the middle of n_fft values."""
    phase = 2 * math.pi * np.arange(config.win_length) / config.win_length
    window = np.zeros(config.n_fft)
    left = (config.n_fft - config.win_length) // 2
    window[left : left + config.win_length] = 0.5 - 0.5 * np.cos(phase)
    return window.astype(np.float32)


@functools.cache
def mel_bank(config: FeatureConfig) -> np.ndarray[Any, np.dtype[np.float32]]:
    """(n_fft / 2 + 1, n_mels): triangles on the HTK mel scale, not normalised."""
    nyquist = config.sampling_rate / 2
    top_mel = 2595 * math.log10(1 + nyquist / 700)
    corners = 700 * (10 ** (np.linspace(0, top_mel, config.n_mels + 2) / 2595) - 1)
    bins = np.linspace(0, nyquist, config.n_fft // 2 + 1)
    distance = corners[None, :] - bins[:, None]  # (n_bins, n_mels + 2)
    rising = -distance[:, :-2] / np.diff(corners)[:-1]
    falling = distance[:, 2:] / np.diff(corners)[1:]
    return np.maximum(0, np.minimum(rising, falling)).astype(np.float32)
