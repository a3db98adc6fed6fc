"""What stands for speech where no model listens: bursts of noise that go up and down."""

import numpy as np

RATE = 16_000


def speech(duration_s: float, seed: int = 0, level: float = 0.2) -> np.ndarray:
    """Noise in syllables of 0.2 s, without a pause: 30 dB up and down."""
    rng = np.random.default_rng(seed)
    n = round(duration_s * RATE)
    t = np.arange(n) / RATE
    loudness = 10 ** (-1.5 * (0.5 + 0.5 * np.cos(2 * np.pi * 5 * t)))
    return (level * loudness * rng.standard_normal(n)).astype(np.float32)


def silence(duration_s: float, level: float = 0.0, seed: int = 1) -> np.ndarray:
    """Nothing, or steady noise."""
    rng = np.random.default_rng(seed)
    return (level * rng.standard_normal(round(duration_s * RATE))).astype(np.float32)


def tone(duration_s: float, hertz: float = 440.0, level: float = 0.1) -> np.ndarray:
    t = np.arange(round(duration_s * RATE)) / RATE
    return (level * np.sin(2 * np.pi * hertz * t)).astype(np.float32)
