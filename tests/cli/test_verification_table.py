import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from granite_mlx.cli.verification_table import N_WORST, verification_lines
from granite_mlx.convert import read_manifest

Run = Callable[..., Any]

FIGURES = {
    "computed_in": "float32",
    "run": "whole",
    "n_recordings": 4,
    "audio_s": 12.34,
    "n_same_texts": 3,
    "n_tokens": 57,
    "mean_kl_nats": 0.00123,
    "top1_agreement": 0.982,
    "word_errors": {"n_wanted": 31, "source_percent": 3.226, "converted_percent": 6.452},
    "character_errors": None,
    "outputs": {"encoder": {"relative_error": 0.0123, "cosine": 0.9999}},
    "weights": {"encoder": {"relative_error": 0.007, "cosine": 0.99998}},
    "tensors": [{"name": f"t{n}", "relative_error": n / 100, "cosine": 0.9} for n in range(9)],
}


def test_the_table() -> None:
    lines = [" ".join(line.split()) for line in verification_lines(FIGURES)]
    assert lines[0] == (
        "compared with the source over 4 recordings (12.3 s, 57 tokens), in float32:"
    )
    assert lines[2:] == [
        "relative error cosine",
        "encoder, outputs 1.230% 0.999900",
        "encoder, weights 0.700% 0.999980",
        *(f"t{n} {n}.000% 0.900000" for n in range(8, 8 - N_WORST, -1)),
        "",
        "mean KL divergence 0.00123 nats",
        "same most probable token 98.20% of positions",
        "same text 3 of 4 recordings",
        "word errors 6.45 % of 31 words (source 3.23 %)",
    ]


def test_what_was_run_in_layers_has_no_texts() -> None:
    lines = list(verification_lines(FIGURES | {"run": "layer by layer", "n_same_texts": None}))
    assert lines[1].startswith("layer by layer")
    assert not any(line.startswith("same text") for line in lines)


@pytest.mark.parametrize("key", ["mean_kl_nats", "top1_agreement"])
def test_what_is_not_known_is_a_dash(key: str) -> None:
    tensors = [*FIGURES["tensors"], {"name": "broken", "relative_error": None, "cosine": None}]
    lines = list(verification_lines(FIGURES | {key: None, "tensors": tensors}))
    assert sum(line.endswith(" -") for line in lines) == 2
    assert lines[5].split() == ["broken", "-", "-"]


# With the command


@pytest.fixture
def recordings(tmp_path: Path, demo_checkpoint: Path) -> Path:
    """The shortest of the recordings that come along, with its text."""
    folder = tmp_path / "recordings"
    folder.mkdir()
    for name in ("digits.flac", "digits.txt"):
        shutil.copy(demo_checkpoint / "examples" / name, folder)
    return folder


def test_quantised_results_are_compared(run: Run, tmp_path: Path, recordings: Path) -> None:
    out = tmp_path / "q8"
    ran = run("convert", "demo", out, "--recipe", "q8", "--verify-audio", recordings)
    assert (ran.code, ran.err) == (0, "")
    manifest = read_manifest(out)
    assert manifest is not None
    assert manifest.verification is not None
    assert manifest.verification["n_recordings"] == 1
    assert ran.out.startswith("\n".join(verification_lines(manifest.verification)))
    assert "word errors " in ran.out
    assert "## What it cost" in (out / "README.md").read_text()


def test_beyond_the_limits(run: Run, tmp_path: Path, recordings: Path) -> None:
    recipe = tmp_path / "strict.toml"
    recipe.write_text(
        '[[rules]]\npattern = "*"\nbits = 2\n[limits.max_relative_error]\nencoder = 0.01\n'
    )
    command = ["convert", "demo", tmp_path / "q2", "--recipe", recipe, "--verify-audio", recordings]
    ran = run(*command)
    assert ran.code == 2
    assert "lost more than its recipe allows: what the encoder puts out is off by" in ran.err
    assert not (tmp_path / "q2").exists()
    ran = run(*command, "--accept-loss")
    assert ran.code == 0
    assert "warning: what the encoder puts out is off by" in ran.err
    assert (tmp_path / "q2" / "config.json").is_file()


def test_nothing_to_listen_to_is_told_before_the_work(run: Run, tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    ran = run("convert", "demo", tmp_path / "out", "-q", "--verify-audio", empty)
    assert (ran.code, ran.out) == (2, "")
    assert "holds no recordings" in ran.err
