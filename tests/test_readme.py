"""Every command and snippet of README.md and docs/engine.md is run as it stands, or says why not.

A fence of shell or Python is run in a folder that holds the files which they name, with the
demo checkpoint as the default model. A fence of plain text after it is what it prints. A comment
`<!-- not run by the tests: REASON -->` before a fence excuses it.
"""

import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path

import av
import pytest

README = Path(__file__).resolve().parent.parent / "README.md"
PAGES = (README, README.parent / "docs" / "engine.md")
FENCE = re.compile(
    r"(?:<!-- not run by the tests: (?P<excuse>[^\n]+) -->\n)?"
    r"^```(?P<language>\w*)\n(?P<code>.*?)^```$"
    r"(?:\n+^```text\n(?P<output>.*?)^```$)?",
    flags=re.MULTILINE | re.DOTALL,
)
RUNNERS = {
    "sh": ["bash", "-euo", "pipefail", "-c"],
    "python": [sys.executable, "-c"],
}


@dataclass(frozen=True)
class Fence:
    """One block of code, with what is said to come out of it."""

    page: Path
    line: int
    language: str
    code: str
    output: str | None
    excuse: str | None


def _fences(page: Path) -> list[Fence]:
    text = page.read_text()
    return [
        Fence(
            page=page,
            line=text.count("\n", 0, match.start("code")),
            language=match["language"],
            code=match["code"],
            output=match["output"],
            excuse=match["excuse"],
        )
        for match in FENCE.finditer(text)
    ]


FENCES = [fence for page in PAGES for fence in _fences(page)]
RUN = [fence for fence in FENCES if fence.excuse is None]


@pytest.fixture(scope="module")
def folder(
    repository: Path, demo_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """A folder with call.m4a, talk.flac and the package as seen from the repository's root.

    Most fences hear the first, so it is short: quantised, the demo takes long on a CPU.
    """
    folder = tmp_path_factory.mktemp("readme")
    (folder / "granite_mlx").symlink_to(repository / "granite_mlx")
    digits = demo_checkpoint / "examples" / "digits.flac"
    shutil.copy(digits, folder / "talk.flac")
    _write_start_as_aac(digits, folder / "call.m4a", seconds=1)
    return folder


def test_every_fence_was_found_and_has_a_runner_or_an_excuse() -> None:
    marks = re.compile(r"^ *(```|~~~)", flags=re.MULTILINE)
    n_marks = sum(len(marks.findall(page.read_text())) for page in PAGES)
    n_outputs = sum(fence.output is not None for fence in FENCES)
    assert n_marks == 2 * (len(FENCES) + n_outputs)
    assert {fence.language for fence in RUN} == set(RUNNERS)
    assert {fence.language for fence in FENCES} <= set(RUNNERS)


@pytest.mark.parametrize("fence", RUN, ids=lambda fence: f"{fence.page.name} {fence.line}")
def test_fence_runs_and_prints_what_it_says(fence: Fence, folder: Path) -> None:
    result = subprocess.run(
        [*RUNNERS[fence.language], fence.code],
        cwd=folder,
        env=_environment(folder),
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stderr
    assert "Traceback" not in result.stderr
    if fence.output is not None:
        assert result.stdout == fence.output


def test_make_has_every_target_that_the_documents_name(repository: Path) -> None:
    documents = README.read_text() + (repository / "CONTRIBUTING.md").read_text()
    named = set(re.findall(r"(?:^|`)make (?:PYTHON=\S+ )?([\w-]+)", documents, flags=re.MULTILINE))
    assert {"demo", "test", "test-all", "lint", "types", "parity", "fixtures", "wheel"} <= named
    makefile = (repository / "Makefile").read_text()
    assert named <= set(re.findall(r"^([\w-]+):", makefile, flags=re.MULTILINE))


def test_ci_runs_the_two_commands_of_the_readme(repository: Path) -> None:
    [commands] = [fence.code for fence in FENCES if "make demo" in fence.code]
    ci = (repository / ".ci" / "run").read_text()
    for command in commands.splitlines():
        assert f"\nstep {command}\n" in ci


def _write_start_as_aac(source: Path, target: Path, seconds: float) -> None:
    with av.open(source) as reader, av.open(target, "w") as writer:
        stream = writer.add_stream("aac", rate=16000, layout="mono")
        for frame in takewhile(lambda frame: frame.time < seconds, reader.decode(audio=0)):
            writer.mux(stream.encode(frame))
        writer.mux(stream.encode(None))


def _environment(folder: Path) -> dict[str, str]:
    """As a user has it after the install: our programs on the path, here with the demo model.

    The cache of conversions is a new one, so that nothing is found there nor left behind.
    """
    programs = str(Path(sys.executable).parent)
    return {
        **os.environ,
        "PATH": os.pathsep.join([programs, os.environ["PATH"]]),
        "GRANITE_MLX_MODEL": "demo",
        "GRANITE_MLX_CACHE": str(folder / "cache"),
    }
