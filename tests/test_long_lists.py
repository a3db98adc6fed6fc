"""The demo checkpoint with a list of keywords that no prompt can hold."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import granite_mlx

EXAMPLE, USUAL, ASKED = "english_name.flac", "Eric", "Erik"
ONSETS, VOWELS = "b d f g k l m n p r s t v z".split(), "a e i o u".split()


@pytest.fixture(scope="module")
def nobody() -> list[str]:
    """Five thousand names that nobody says."""
    rng = np.random.default_rng(1)
    drawn: dict[str, None] = {}
    while len(drawn) < 5000:
        syllables = [str(rng.choice(ONSETS)) + str(rng.choice(VOWELS)) for _ in range(4)]
        drawn["".join(syllables).capitalize()] = None
    return list(drawn)


def test_a_name_is_spelt_as_a_long_list_asks(demo_checkpoint: Path, nobody: list[str]) -> None:
    recording = demo_checkpoint / "examples" / EXAMPLE
    with granite_mlx.load("demo") as model:
        plain = model.transcribe(recording)
        transcript = model.transcribe(recording, keywords=[*nobody, ASKED])
    assert USUAL in plain.text.split()
    assert transcript.text == plain.text.replace(USUAL, ASKED)
    offered = {report.term for report in transcript.keywords if report.offered}
    assert len(transcript.keywords) == 5001
    assert ASKED in offered
    assert len(offered) <= model.keywords_per_prompt
    (found,) = (report for report in transcript.keywords if report.found)
    assert found.term == ASKED
    assert found.times is not None
    assert len(found.times) == 1


def test_on_the_command_line(demo_checkpoint: Path, nobody: list[str], tmp_path: Path) -> None:
    terms = tmp_path / "terms.txt"
    terms.write_text("\n".join([*nobody, f"{ASKED}\t{USUAL} # as it sounds"]), encoding="utf-8")
    recording = demo_checkpoint / "examples" / EXAMPLE
    command = ["granite_mlx", "transcribe", "-m", "demo", "--keywords-file", terms, recording]
    ran = subprocess.run(
        [sys.executable, "-m", *command],
        capture_output=True,
        text=True,
        check=True,
    )
    assert ASKED in ran.stdout.split()
