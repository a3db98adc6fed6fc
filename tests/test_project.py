"""What has to agree across the repository: version and changelog, imports and dependencies,
recordings and their attribution."""

import ast
import re
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import granite_mlx

AUDIO_SUFFIXES = {".wav", ".flac", ".ogg", ".opus", ".mp3", ".aiff", ".caf", ".m4a", ".mp4"}

DEMO_LIMIT_BYTES = 12_000_000

USED = ("ask", "corpus", "eval", "mic", "serve")
"""Extras that the package itself imports."""

NOT_BY_NAME = {"websockets"}
"""What uvicorn needs for them."""


@pytest.fixture(scope="module")
def project(repository: Path) -> dict[str, Any]:
    return tomllib.loads((repository / "pyproject.toml").read_text())["project"]


def test_newest_release_in_the_changelog_is_the_version(repository: Path) -> None:
    changelog = (repository / "CHANGELOG.md").read_text()
    newest = re.search(r"^## \[(\d[^]]*)\]", changelog, flags=re.MULTILINE)
    assert newest is not None
    assert newest[1] == granite_mlx.__version__


def test_dependencies_are_what_the_package_imports(
    repository: Path, project: dict[str, Any]
) -> None:
    declared = {_module_of(requirement) for requirement in project["dependencies"]}
    folders = [repository / "granite_mlx", repository / "convert"]
    imported = {name for folder in folders for name in _imported_packages(folder)}
    extras = project["optional-dependencies"]
    of_extras = {_module_of(one) for extra in USED for one in extras[extra]} - NOT_BY_NAME
    assert imported - sys.stdlib_module_names - {"granite_mlx"} == declared | of_extras


def test_the_tests_have_the_extras_of_the_package(
    repository: Path, project: dict[str, Any]
) -> None:
    extras = project["optional-dependencies"]
    wanted = {one for extra in USED for one in extras[extra]}
    # Ray is large, and its tests take minutes: `make test-slow` has it.
    assert {one for one in wanted if not one.startswith("ray")} <= set(extras["dev"])
    assert "-e '.[corpus,dev,reference]'" in (repository / "Makefile").read_text()


@pytest.mark.parametrize(
    "extra", ["ask", "core", "corpus", "bench", "dev", "eval", "mic", "reference", "serve"]
)
def test_every_requirement_is_a_range_or_a_pin(extra: str, project: dict[str, Any]) -> None:
    extras = project["optional-dependencies"]
    requirements = project["dependencies"] if extra == "core" else extras[extra]
    assert requirements
    for requirement in requirements:
        assert re.search(r">=[\d.]+,<\d|==\d", requirement), requirement


@pytest.mark.parametrize("folder", ["granite_mlx/demo_checkpoint", "tests/data"])
def test_every_recording_is_attributed_beside_it(folder: str, repository: Path) -> None:
    top = repository / folder
    recordings = [path for path in top.rglob("*") if path.suffix in AUDIO_SUFFIXES]
    assert recordings
    for recording in recordings:
        notices = [
            parent / "README.md" for parent in recording.parents if parent.is_relative_to(top)
        ]
        text = "".join(notice.read_text() for notice in notices if notice.exists())
        assert recording.name in text, f"{recording} is named in none of {notices}"


def test_the_license_names_what_the_package_holds(
    repository: Path, project: dict[str, Any]
) -> None:
    notices = (repository / "THIRD_PARTY.md").read_text().partition("## In the source only")[0]
    rows = re.findall(r"^\|.*\| ([^|]+) \|$", notices, flags=re.MULTILINE)
    held = {re.sub(r"\[(.+)\]\(.+\)", r"\1", row).replace(" ", "-") for row in rows}
    assert set(project["license"].split(" AND ")) == held - {"licence"}


def test_the_demo_checkpoint_is_small(demo_checkpoint: Path) -> None:
    files = [path for path in demo_checkpoint.rglob("*") if path.is_file()]
    assert {path.name for path in files} >= {"config.json", "model.safetensors"}
    assert sum(path.stat().st_size for path in files) <= DEMO_LIMIT_BYTES


def _module_of(requirement: str) -> str:
    """ "huggingface-hub>=1,<3" -> "huggingface_hub"."""
    name = re.match(r"[\w.-]+", requirement)
    assert name is not None
    return name[0].replace("-", "_")


def _imported_packages(folder: Path) -> Iterator[str]:
    """Top-level names of all absolute imports, those inside functions included."""
    for path in folder.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                yield from (alias.name.partition(".")[0] for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
                yield node.module.partition(".")[0]
