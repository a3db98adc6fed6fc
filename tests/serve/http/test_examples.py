"""docs/server.md and docs/examples, run as they stand."""

import argparse
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from granite_mlx.cli.serve import PORT, add_arguments
from granite_mlx.serve.fields import TRANSCRIPTION, TRANSLATION

from .asking import Address

ENGLISH = "yesterday the neighbour found a small horse at home"
NAME = 'talk, "part 1"; end.flac'
DIGITS = "four three eight six nine two"
RUNNERS = {"sh": ["bash", "-euo", "pipefail", "-c"], "python": [sys.executable, "-c"]}
DOCUMENT = Path(__file__).resolve().parents[3] / "docs" / "server.md"
FENCES = re.findall(r"^```(\w+)\n(.*?)^```$", DOCUMENT.read_text(), flags=re.MULTILINE | re.DOTALL)
ASKING = [(language, code) for language, code in FENCES if "localhost" in code]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, demo_checkpoint: Path) -> Path:
    """A folder with recordings; content decides what a file is, so that a suffix may lie."""
    folder = tmp_path_factory.mktemp("recordings")
    shutil.copy(demo_checkpoint / "examples" / "english.flac", folder / "call.m4a")
    shutil.copy(demo_checkpoint / "examples" / "digits.flac", folder / NAME)
    (folder / "none.wav").write_text("no sound")
    return folder


def run(*command: str | Path, folder: Path, **env: str) -> subprocess.CompletedProcess:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), **env}
    return subprocess.run(
        list(map(str, command)), cwd=folder, env=environment, capture_output=True, text=True
    )


@pytest.mark.parametrize(("language", "code"), ASKING)
def test_the_document(language: str, code: str, address: Address, folder: Path) -> None:
    if "curl" in code and shutil.which("curl") is None:
        pytest.skip("there is no curl on this machine")
    code = code.replace(f"http://localhost:{PORT}", address.url)
    ran = run(*RUNNERS[language], code, folder=folder)
    assert ran.returncode == 0, ran.stderr
    assert ENGLISH in " ".join(ran.stdout.split())


def test_both_ways_are_in_the_document() -> None:
    assert sorted(language for language, _ in ASKING) == ["python", "sh"]
    assert "granite-mlx serve\n" in FENCES[0][1]


def test_all_fields_and_limits_are_in_the_document() -> None:
    rows = re.findall(r"^\| `([^|]+)` \|(.*)\|$", DOCUMENT.read_text(), flags=re.MULTILINE)
    named = {name: row.split("|") for cell, row in rows for name in cell.split("`, `")}
    for field in TRANSCRIPTION | TRANSLATION | {"file"}:
        row = named.get(field) or named[f"{field}[]"]
        is_in = [bool(cell.strip()) for cell in row[-2:]]
        both = (TRANSCRIPTION | {"file"}, TRANSLATION | {"file"})
        assert is_in == [field in fields for fields in both], field
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    limits = [one for one in parser.format_help().split() if one.startswith("--max-")]
    assert limits
    assert set(limits) <= named.keys()


@pytest.mark.skipif(shutil.which("curl") is None, reason="there is no curl on this machine")
def test_the_shell_script(address: Address, folder: Path, repository: Path) -> None:
    script = repository / "docs" / "examples" / "transcribe.sh"
    ran = run(script, NAME, folder=folder, GRANITE_MLX_URL=address.url)
    assert (ran.returncode, ran.stdout) == (0, f"{DIGITS}\n")
    ran = run(script, "call.m4a", "vtt", folder=folder, GRANITE_MLX_URL=address.url)
    assert ran.stdout.startswith("WEBVTT")
    ran = run(script, "none.wav", folder=folder, GRANITE_MLX_URL=address.url)
    assert ran.returncode != 0
    assert "cannot be read as audio" in ran.stdout


def test_the_app_with_threads(folder: Path, repository: Path) -> None:
    app = repository / "docs" / "examples" / "engine_in_a_thread.py"
    command = [sys.executable, app, "call.m4a", "none.wav", NAME]
    ran = run(*command, folder=folder, GRANITE_MLX_MODEL="demo")
    assert ran.returncode == 1
    assert sorted(ran.stdout.splitlines()) == [
        f"call.m4a 0.0 s: {ENGLISH}",
        f"{NAME} 0.0 s: {DIGITS}",
    ]
    assert ran.stderr.startswith("none.wav: none.wav cannot be read as audio")


@pytest.mark.skipif(shutil.which("swiftc") is None, reason="there is no Swift on this machine")
def test_the_swift_type_checks(repository: Path) -> None:
    source = repository / "docs" / "examples" / "Transcriber.swift"
    ran = subprocess.run(["swiftc", "-typecheck", source], capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
