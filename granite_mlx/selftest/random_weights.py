"""Weights that anybody can make again: random bits from a tensor's name, the same everywhere."""

from __future__ import annotations

import math
import zlib
from typing import Any

import numpy as np

Array = np.ndarray[Any, np.dtype[np.float32]]


def uniform(name: str, shape: tuple[int, ...]) -> Array:
    """Values in [-1, 1) that follow from `name` alone.

    They are made of the generator's raw bits, which numpy promises to keep; its distributions
    may change between versions.
    """
    count = math.prod(shape)
    bits = np.random.PCG64(zlib.crc32(name.encode())).random_raw(-(-count // 2))
    halves = bits.view(np.uint32)[:count] >> 8  # 24 bits are exact in float32
    return (halves.astype(np.float32) / np.float32(1 << 23) - np.float32(1)).reshape(shape)


def random_tensor(name: str, shape: tuple[int, ...]) -> Array:
    """A published tensor of a size that keeps activations at unit scale."""
    values = uniform(name, shape)
    last = name.rsplit(".", 1)[-1]
    if last == "running_var":
        return 1 + 0.5 * values
    if last in ("bias", "running_mean"):
        return 0.1 * values
    if last == "query":
        return values * np.float32(math.sqrt(3))
    if "rel_pos_emb" in name or "embed_tokens" in name:
        return 0.2 * values
    if len(shape) == 1:  # the weight of a norm
        return 1 + 0.2 * values
    return values * np.float32(math.sqrt(3 / math.prod(shape[1:])))


def random_signal(n_samples: int) -> Array:
    """A chirp, two tones and noise: something in every mel band, and a quiet end."""
    t = np.arange(n_samples) / 16000
    chirp = 0.3 * np.sin(2 * np.pi * (100 + 1500 * t) * t)
    tones = 0.1 * np.sin(2 * np.pi * 440 * t) + 0.05 * np.sin(2 * np.pi * 5000 * t)
    fade = np.minimum(1, (n_samples - np.arange(n_samples)) / 8000)
    noise = 0.01 * uniform("noise", (n_samples,))
    return ((chirp + tones) * fade + noise).astype(np.float32)
