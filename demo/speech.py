"""Sound for the demo checkpoint: espeak-ng's voices, real spoken digits, and what a room adds to them."""

import subprocess
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
import soxr

SAMPLE_RATE = 16000

ENGLISH = ("en-us", "en-gb", "en-gb-x-rp", "en-gb-scotland", "en-029")
FRENCH = ("fr-fr", "fr-be", "fr-ch")
VARIANTS = (
    "m1 m2 m3 m4 m5 m7 m8 f1 f2 f3 f5 Alex Alicia Andrea Andy Denis Diogo Gene Henrique Hugo Jacky "
    "Lee Marco Mario Michael Mike Nguyen adam anika antonio aunty belinda benjamin boris caleb david "
    "edward grandma iven john linda marcelo max miguel norbert pablo paul robert sandro steph travis"
).split()
HELD_OUT_VARIANTS = "m6 f4 Annie michel pedro quincy steph3 victor zac ed".split()
SPEEDS = tuple(w for w in range(116, 204) if not 148 <= w <= 160)  # words a minute
HELD_OUT_SPEEDS = (110, *range(150, 159), 208)

DIGITS = "zero one two three four five six seven eight nine".split()
SPEAKERS = "george jackson lucas nicolas theo yweweler".split()
HELD_OUT_DIGIT_INDICES = range(5, 10)  # 0-4 are the official test split and are not in the folder


@dataclass(frozen=True)
class Voice:
    name: str  # "en-us+f3"
    words_per_minute: int
    pitch: int


def draw_voice(rng: np.random.Generator, language: str, held_out: bool = False) -> Voice:
    """A random voice of a language; held-out voices differ in variant and in speed."""
    accents = ENGLISH if language == "en" else FRENCH
    variants = HELD_OUT_VARIANTS if held_out else VARIANTS
    speeds = HELD_OUT_SPEEDS if held_out else SPEEDS
    name = f"{accents[rng.integers(len(accents))]}+{variants[rng.integers(len(variants))]}"
    return Voice(name, int(speeds[rng.integers(len(speeds))]), int(rng.integers(20, 80)))


def say(text: str, voice: Voice) -> np.ndarray:
    """Speak `text` with espeak-ng: float32 mono at 16 kHz, silence at the ends cut to 50 ms or less."""
    command = ["espeak-ng", "-v", voice.name, "-s", str(voice.words_per_minute),
               "-p", str(voice.pitch), "--stdout", "--stdin"]  # fmt: skip
    wav = subprocess.run(command, input=text.encode(), capture_output=True, check=True).stdout
    # With --stdout espeak-ng cannot know the length, so the header's is wrong: read past it.
    samples = np.frombuffer(wav[44:], dtype="<i2").astype(np.float32) / 32768
    return trim(soxr.resample(samples, 22050, SAMPLE_RATE).astype(np.float32))


def trim(samples: np.ndarray, keep_s: float = 0.05) -> np.ndarray:
    """Cut leading and trailing near-silence, but for `keep_s` at each end."""
    loud = np.flatnonzero(np.abs(samples) > 0.01 * np.abs(samples).max(initial=1e-9))
    if not len(loud):
        return samples
    keep = int(keep_s * SAMPLE_RATE)
    return samples[max(0, loud[0] - keep) : loud[-1] + keep]


def load_digits(folder: Path, held_out: bool) -> dict[tuple[str, int], list[np.ndarray]]:
    """The Free Spoken Digit Dataset at 16 kHz, by (speaker, digit)."""
    digits: dict[tuple[str, int], list[np.ndarray]] = {}
    for path in sorted(folder.glob("*.wav")):
        digit, speaker, index = path.stem.split("_")
        if int(index) < HELD_OUT_DIGIT_INDICES.start:
            continue  # the official test split, should it be there
        if (int(index) in HELD_OUT_DIGIT_INDICES) == held_out:
            samples, rate = soundfile.read(path, dtype="float32")
            resampled = soxr.resample(samples, rate, SAMPLE_RATE).astype(np.float32)
            digits.setdefault((speaker, int(digit)), []).append(resampled)
    if not digits:
        raise FileNotFoundError(f"no spoken digits in {folder}: give the folder of the FSDD wavs")
    return digits


def digit_string(
    rng: np.random.Generator, digits: dict[tuple[str, int], list[np.ndarray]]
) -> tuple[np.ndarray, list[int]]:
    """One to seven digits by one real speaker, 30 to 300 ms apart."""
    speaker = SPEAKERS[rng.integers(len(SPEAKERS))]
    said = [int(d) for d in rng.integers(0, 10, size=int(rng.integers(1, 8)))]
    parts: list[np.ndarray] = []
    for digit in said:
        takes = digits[(speaker, digit)]
        take = takes[rng.integers(len(takes))]
        level = 0.3 / max(1e-4, np.abs(take).max())
        parts += [take * level, np.zeros(int(rng.uniform(0.03, 0.3) * SAMPLE_RATE), np.float32)]
    return np.concatenate(parts[:-1]), said


def coloured_noise(rng: np.random.Generator, n_samples: int) -> np.ndarray:
    """White, pink or brown noise of unit standard deviation."""
    spectrum = np.fft.rfft(rng.standard_normal(n_samples))
    exponent = (0.0, 0.5, 1.0)[rng.integers(3)]
    spectrum /= np.maximum(np.arange(len(spectrum)), 20.0) ** exponent
    noise = np.fft.irfft(spectrum, n_samples)
    return (noise / max(1e-9, noise.std())).astype(np.float32)


def roughen(rng: np.random.Generator, samples: np.ndarray, n_samples: int) -> np.ndarray:
    """Place speech in `n_samples` of a noisy recording: lead-in, telephone band, tilt, noise, gain."""
    lead = int(rng.integers(0, max(1, n_samples - len(samples) + 1)) * rng.random())
    placed = np.zeros(n_samples, np.float32)
    placed[lead : lead + len(samples)] = samples[: n_samples - lead]
    kind = rng.random()
    if kind < 0.35:
        spectrum = np.fft.rfft(placed)
        hertz = np.linspace(0, SAMPLE_RATE / 2, len(spectrum))
        if kind < 0.15:  # a telephone, or an 8 kHz file
            spectrum *= hertz < rng.uniform(3400, 4000)
        else:  # a microphone that favours low or high sounds
            spectrum *= (np.maximum(hertz, 100) / 1000) ** rng.uniform(-0.35, 0.35)
        placed = np.fft.irfft(spectrum, n_samples).astype(np.float32)
    if rng.random() < 0.85:
        snr_db = rng.uniform(12, 55)
        level = np.sqrt(np.mean(samples**2)) * 10 ** (-snr_db / 20)
        placed += level * coloured_noise(rng, n_samples)
    return placed * np.float32(10 ** rng.uniform(-0.8, 0.3))
