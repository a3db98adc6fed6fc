"""`granite-mlx convert`: arguments, what is shown, exit codes."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from granite_mlx.cli import convert as command
from granite_mlx.convert import RECIPES, read_manifest
from granite_mlx.convert.layouts import LAYOUTS
from granite_mlx.model.quantisation import MODES
from granite_mlx.model.weights import DTYPES

Run = Callable[..., Any]


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out"


# The help


def test_the_help_names_what_there_is() -> None:
    """The lists are written out there, since importing their sources takes long."""
    named = re.findall(r"^  (q[\w-]+) +(.*)$", command.EXAMPLES, flags=re.MULTILINE)
    assert named == [(recipe.name, recipe.summary) for recipe in RECIPES.values()]
    assert tuple(MODES) == command.Q_MODES
    assert set(DTYPES) == set(command.DTYPES)
    assert {"granite-mlx", *command.COMPATIBLE} == set(LAYOUTS)


# Converting


def test_a_recipe(run: Run, out: Path) -> None:
    ran = run("convert", "demo", out, "--recipe", "q8", "--no-verify")
    assert (ran.code, ran.err) == (0, "")
    size, floating = ran.out.splitlines()
    assert re.fullmatch(rf"{re.escape(str(out))}: 5\.\d MB, 5\d% of 10\.2 MB", size)
    assert floating.startswith("floating: encoder.input_linear: its width of 160 does not divide")
    manifest = read_manifest(out)
    assert manifest is not None
    assert manifest.recipe is not None
    assert manifest.recipe["name"] == "q8"


@pytest.mark.parametrize(
    ("flags", "quantization"),
    [
        (["-q"], {"bits": 4, "group_size": 64, "mode": "affine"}),
        (["-q", "--q-bits", "8"], {"bits": 8, "group_size": 64, "mode": "affine"}),
        (
            ["-q", "--q-bits", "6", "--q-group-size", "32"],
            {"bits": 6, "group_size": 32, "mode": "affine"},
        ),
        (["-q", "--q-mode", "mxfp8"], {"bits": 8, "group_size": 32, "mode": "mxfp8"}),
        (["-q", "--q-mode", "nvfp4"], {"bits": 4, "group_size": 16, "mode": "nvfp4"}),
    ],
)
def test_mlx_lms_flags(run: Run, out: Path, flags: list[str], quantization: dict[str, Any]) -> None:
    ran = run("convert", "demo", out, *flags, "--no-verify")
    assert (ran.code, ran.err) == (0, "")
    assert json.loads((out / "config.json").read_text())["quantization"] == quantization


def test_dtype_alone(run: Run, out: Path) -> None:
    ran = run("convert", "demo", out, "--dtype", "float16")
    assert (ran.code, ran.err) == (0, "")
    config = json.loads((out / "config.json").read_text())
    assert config["dtype"] == "float16"
    assert "quantization" not in config


def test_there_and_back(run: Run, out: Path, tmp_path: Path) -> None:
    assert run("convert", "demo", out, "-q", "--no-verify").code == 0
    refused = run("convert", out, tmp_path / "back", "-q")
    assert refused.code == 2
    assert "is quantised already" in refused.err
    ran = run("convert", out, tmp_path / "back", "-d")
    assert (ran.code, ran.err) == (0, "")
    assert "quantization" not in json.loads((tmp_path / "back" / "config.json").read_text())


def test_for_mlx_audio(run: Run, out: Path) -> None:
    ran = run("convert", "demo", out, "--compat", "mlx-audio", "-q", "--q-bits", "8", "--no-verify")
    assert (ran.code, ran.err) == (0, "")
    manifest = read_manifest(out)
    assert manifest is not None
    assert manifest.layout == "mlx-audio"


def test_an_existing_destination(run: Run, out: Path) -> None:
    out.mkdir()
    ran = run("convert", "demo", out)
    assert (ran.code, ran.out) == (2, "")
    assert ran.err == (
        f"granite-mlx: {out} exists already; give another destination, or --force (in Python "
        "force=True) to replace it.\n"
    )
    assert run("convert", "demo", out, "--force").code == 0  # an empty folder
    assert run("convert", "demo", out, "--dtype", "float32", "--force").code == 0
    assert json.loads((out / "config.json").read_text())["dtype"] == "float32"


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs Linux's /dev/full")
def test_a_stdout_that_is_full_does_not_cost_the_result(finish: Run, out: Path) -> None:
    with open("/dev/full", "wb") as full:
        ran = finish("convert", "demo", out, "-q", "--no-verify", real=True, stdout=full)
    assert (ran.code, ran.err) == (1, "granite-mlx: stdout: No space left on device\n")
    assert (out / "granite_mlx.json").is_file()


def test_a_reader_that_is_gone_does_not_cost_the_result(finish: Run, out: Path) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    ran = finish("convert", "demo", out, "-q", "--no-verify", real=True, stdout=writing)
    os.close(writing)
    assert (ran.code, ran.err) == (141, "")
    assert (out / "granite_mlx.json").is_file()


def test_a_pattern_that_fits_nothing_is_told(run: Run, out: Path, tmp_path: Path) -> None:
    recipe = tmp_path / "mine.toml"
    recipe.write_text('[[rules]]\npattern = "encodr.*"\nbits = 8\n')
    wanted = "granite-mlx: warning: the recipe's pattern 'encodr.*' fits no matrix of this "
    for flag in ("--dry-run", "--no-verify"):
        ran = run("convert", "demo", out, flag, "--recipe", recipe)
        assert ran.code == 0
        assert ran.err.startswith(wanted)


# --dry-run


def test_a_dry_run_shows_each_tensor_and_writes_nothing(run: Run, tmp_path: Path) -> None:
    ran = run("convert", "demo", "--recipe", "q4", "--dry-run", tmp_path / "out")
    assert (ran.code, ran.err) == (0, "")
    lines = {line.split()[0]: line for line in ran.out.splitlines() if line}
    line = lines["language_model.model.layers.0.mlp.up_proj.weight"]
    assert re.search(r"BF16 512x256 +affine 4 bits, groups of 64 +73,728 +\[\d\]", line)
    number = re.search(r"\[\d\]", line)
    assert number is not None
    assert lines[number[0]] == f"{number[0]} most of the bytes that are read for every token"
    assert " left out " in lines["encoder.layers.0.conv.batch_norm.num_batches_tracked"]
    assert "BF16 128x160" in lines["encoder.input_linear.weight"]
    assert re.search(r"10\.\d MB +-> +4\.\d MB +\d+ matrices quantised", lines["all"])
    assert list(tmp_path.iterdir()) == []


def test_a_dry_run_does_not_look_at_the_destination(run: Run, tmp_path: Path) -> None:
    ran = run("convert", "demo", tmp_path, "--dry-run")
    assert ran.code == 0
    assert "quantised" in ran.out.splitlines()[-1]


# Wrong arguments


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["DST", "--q-bits", "8"], "--q-bits needs -q."),
        (["DST", "--recipe", "q8", "-q", "--q-bits", "4"], "leave out --recipe or --q-bits"),
        (["DST", "-d", "--recipe", "q8"], "-d makes a floating checkpoint"),
        (["DST", "-d", "-q"], "-d makes a floating checkpoint"),
        (["DST", "-q", "--q-bits", "7"], "not 7 bits"),
        (["DST", "-q", "--q-mode", "mxfp4", "--q-bits", "8"], "not 8 bits"),
        (["DST", "-q", "--q-bits", "x"], "invalid int value: 'x'"),
        (["DST", "-q", "--q-mode", "q4_k"], "invalid choice: 'q4_k'"),
        (["DST", "--recipe", "q5"], "there is no recipe 'q5'"),
        (["DST", "--compat", "whisper"], "invalid choice: 'whisper'"),
        (["DST", "--verify-audio", "x", "--no-verify"], "of no use with --no-verify"),
        (["DST", "-q", "--accept-loss", "--no-verify"], "--accept-loss is of no use without a c"),
        (["DST", "--dtype", "float16", "--accept-loss"], "--accept-loss is of no use without a c"),
        (["DST", "-q", "--dry-run", "--accept-loss"], "leave out --accept-loss."),
        (["DST", "--dry-run", "--upload-repo", "a/b"], "leave out --upload-repo."),
        (["DST", "--dry-run", "--force", "--verify"], "leave out --force and --verify."),
        (["DST", "--dry-run", "--verify-audio", "x"], "leave out --verify-audio."),
        (["DST", "--revision", "main"], "revision is for models of the hub"),
        ([], "required: DST"),
    ],
)
def test_wrong_arguments_write_nothing(
    run: Run, out: Path, arguments: list[str], complaint: str
) -> None:
    ran = run("convert", "demo", *(out if a == "DST" else a for a in arguments))
    assert (ran.code, ran.out) == (2, "")
    assert complaint in ran.err
    assert len(ran.err.splitlines()) == 1
    assert not out.exists()


def test_a_source_that_is_no_checkpoint(run: Run, out: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    ran = run("convert", tmp_path / "empty", out, "-q")
    assert (ran.code, ran.out) == (2, "")
    assert "config.json is missing" in ran.err


def test_the_destination_is_not_the_source(run: Run, demo_checkpoint: Path, tmp_path: Path) -> None:
    ran = run("convert", "demo", demo_checkpoint, "-q", "--force")
    assert ran.code == 2
    assert "holds no conversion" in ran.err
    converted = tmp_path / "converted"
    assert run("convert", "demo", converted, "-q", "--no-verify").code == 0
    ran = run("convert", converted, converted, "-d", "--force")
    assert ran.code == 2
    assert "leaves its source as it is" in ran.err


# As a module, and uploads


def test_python_m(out: Path, repository: Path) -> None:
    ran = subprocess.run(
        [sys.executable, "-m", "granite_mlx.convert", "demo", str(out), "--dtype", "float32"],
        capture_output=True, text=True, check=False, cwd=repository, timeout=60,
    )  # fmt: skip
    assert (ran.returncode, ran.stderr) == (0, "")
    assert (out / "granite_mlx.json").is_file()


def test_the_result_is_uploaded(run: Run, out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    uploaded: list[Any] = []

    def upload(folder: Path, repo_id: str) -> str:
        uploaded.append((repo_id, sorted(path.name for path in folder.iterdir())))
        return "https://hub.example/owner/name"

    monkeypatch.setattr("granite_mlx.convert.upload.check_upload", lambda repo_id: None)
    monkeypatch.setattr("granite_mlx.convert.upload.upload", upload)
    monkeypatch.setenv("HOME", str(out.parent))
    ran = run("convert", "demo", "~/out", "--dtype", "float16", "--upload-repo", "owner/name")
    assert (ran.code, ran.err) == (0, "")
    assert ran.out.splitlines()[-1] == "https://hub.example/owner/name"
    ((repo_id, names),) = uploaded
    assert repo_id == "owner/name"
    assert {"README.md", "config.json", "model.safetensors"} <= set(names)


def test_who_cannot_upload_learns_it_first(run: Run, out: Path) -> None:
    ran = run("convert", "demo", out, "--upload-repo", "no id")
    assert ran.code == 2
    assert "is no id of the hub" in ran.err
    assert not out.exists()


# Verification


def test_a_quantised_result_is_verified_over_ones_own_recordings(
    run: Run, out: Path, tmp_path: Path, demo_checkpoint: Path
) -> None:
    recordings = tmp_path / "recordings"
    recordings.mkdir()
    for name in ("digits.flac", "digits.txt"):
        shutil.copyfile(demo_checkpoint / "examples" / name, recordings / name)
    ran = run("convert", "demo", out, "--recipe", "q8", "--verify-audio", recordings)
    assert (ran.code, ran.err) == (0, "")
    assert "1 of 1 recordings" in ran.out
    assert re.search(r"^encoder.*\d%", ran.out, flags=re.MULTILINE)
    manifest = read_manifest(out)
    assert manifest is not None
    assert manifest.verification is not None
    assert manifest.verification["n_recordings"] == 1
    assert 0 < manifest.verification["mean_kl_nats"] < 0.01


def test_a_result_beyond_its_recipes_limits(
    run: Run, out: Path, tmp_path: Path, demo_checkpoint: Path
) -> None:
    recordings = tmp_path / "recordings"
    recordings.mkdir()
    shutil.copyfile(demo_checkpoint / "examples" / "digits.flac", recordings / "digits.flac")
    recipe = tmp_path / "hard.toml"
    recipe.write_text('[[rules]]\npattern = "*"\nbits = 4\n[limits]\nmax_kl_nats = 1e-9\n')
    arguments = ("convert", "demo", out, "--recipe", recipe, "--verify-audio", recordings)
    ran = run(*arguments)
    assert ran.code == 2
    assert "of 1 recordings" in ran.out  # the figures are shown all the same
    assert "lost more than its recipe allows" in ran.err
    assert not out.exists()
    forced = run(*arguments, "--accept-loss")
    assert forced.code == 0
    assert "granite-mlx: warning: the next token's distribution" in forced.err
    assert out.is_dir()


def test_recordings_that_are_not_there_are_missed_first(
    run: Run, out: Path, tmp_path: Path
) -> None:
    ran = run("convert", "demo", out, "-q", "--verify-audio", tmp_path / "nowhere")
    assert (ran.code, ran.out) == (2, "")
    assert "nowhere" in ran.err
    assert not out.exists()
