"""The held-out recordings of the demo's recipe, and the few of them that lie in tests/data."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

DRAWN = Path(__file__).parents[1] / "data" / "held_out"
N_DRAWN, SEED = 2, 20261124  # of each set
MOST_BYTES = 300_000
SAMPLE_RATE = 16000

README = """# Held-out recordings

16 kHz, mono. Drawn at random from the held-out sets of the demo's recipe, {n} of each, without
regard to what the model makes of them:
`python tests/parity/demo_reference.py --write --corpus WORK`.

| recording | what is said | source |
|---|---|---|
{rows}

- FSDD: takes of the [Free Spoken Digit Dataset](https://github.com/Jakobovski/free-spoken-digit-dataset)
  by Zohar Jackson, César Souza, Jason Flaks, Yuxin Pan, Hereman Nicolas, Adhish Thite and its
  speakers, joined with silence between and resampled from 8 to 16 kHz:
  [CC BY-SA 4.0](https://creativecommons.org/licenses/by-sa/4.0/), and so are the results.
- Sentences: spoken by [espeak-ng](https://github.com/espeak-ng/espeak-ng) for this project,
  Apache-2.0.
"""


@dataclass(frozen=True)
class HeldOut:
    """A recording of the corpus: samples at 16 kHz, and their line of the .jsonl file."""

    name: str  # "test_en_17"
    pcm: np.ndarray  # int16
    entry: dict[str, Any]

    @property
    def samples(self) -> np.ndarray:
        """float32, as a file with these samples is read."""
        return self.pcm.astype(np.float32) / 32768

    def readme_row(self) -> str:
        """A row of the table of recordings."""
        entry = self.entry
        text = entry[entry["language"]].format(*(usual for usual, _ in entry["names"]))
        source = "FSDD" if entry["kind"] == "digits" else f"espeak-ng: {entry['voice']}"
        return f"| {self.name}.flac | {text} | {source} |"


def sets(work: Path) -> Iterator[list[HeldOut]]:
    """Every held-out set of a work folder of `demo.corpus`."""
    for path in sorted(work.glob("test_*.jsonl")):
        pcm = np.memmap(path.with_suffix(".i16"), dtype="<i2", mode="r")
        entries = [json.loads(line) for line in path.read_text().splitlines()]
        yield [
            HeldOut(f"{path.stem}_{i}", pcm[e["start"] : e["start"] + e["n_samples"]], e)
            for i, e in enumerate(entries)
        ]


def draw(work: Path) -> None:
    """Put a few recordings of each set in the place of those in tests/data."""
    rng = np.random.default_rng(SEED)
    drawn = [
        of_set[i]
        for of_set in sets(work)
        for i in sorted(rng.choice(len(of_set), N_DRAWN, replace=False))
    ]
    if not drawn:
        raise SystemExit(f"{work}: no held-out sets here; `python -m demo.corpus` makes them.")
    DRAWN.mkdir(exist_ok=True)
    for old in DRAWN.glob("*.flac"):
        old.unlink()
    for recording in drawn:
        path = DRAWN / f"{recording.name}.flac"
        soundfile.write(path, recording.pcm, SAMPLE_RATE, compression_level=1.0)
    rows = "\n".join(recording.readme_row() for recording in drawn)
    (DRAWN / "README.md").write_text(README.format(n=N_DRAWN, rows=rows))
    n_bytes = sum(path.stat().st_size for path in DRAWN.glob("*.flac"))
    if n_bytes > MOST_BYTES:
        raise SystemExit(f"{DRAWN}: {n_bytes} bytes are more than {MOST_BYTES}.")
