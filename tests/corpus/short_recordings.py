"""Many short recordings with different contents, cut from the demo checkpoint's examples."""

from pathlib import Path

import numpy as np
import soundfile

from granite_mlx.audio.files import SAMPLE_RATE, load_audio

SHORTEST_S, STEP_S, N_LENGTHS = 0.5, 0.02, 30


def make(examples: Path, folder: Path, n_recordings: int) -> list[Path]:
    """Write n_recordings WAV files of 0.5 to 1.1 s, each behind its own length of silence."""
    sounds = [load_audio(path) for path in sorted(examples.glob("*.flac"))]
    folder.mkdir()
    paths = []
    for n in range(n_recordings):
        sound = sounds[n % len(sounds)]
        n_samples = round((SHORTEST_S + STEP_S * (n % N_LENGTHS)) * SAMPLE_RATE)
        silence = np.zeros(n + 1, np.float32)
        paths.append(folder / f"{n:04d}.wav")
        soundfile.write(paths[-1], np.concatenate([silence, sound[:n_samples]]), SAMPLE_RATE)
    return paths
