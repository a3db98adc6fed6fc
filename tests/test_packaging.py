"""Wheel and sdist: built, compared, installed in fresh environments and put to the main job.

Needs the network, for build requirements and dependencies; the job itself is done without.
"""

import os
import shutil
import subprocess
import sys
import tarfile
import venv
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

import granite_mlx

pytestmark = pytest.mark.slow

WHEEL_LIMIT_BYTES = 16_000_000
NOT_SOURCE = (
    ".git", ".venv*", "build", "dist", "*.egg-info", "__pycache__", ".*_cache", ".hypothesis",
    "work", ".DS_Store", ".*.sw?", "*~",
)  # fmt: skip
NOWHERE = "http://127.0.0.1:9"  # the port of "discard": nobody answers
OFFLINE = {
    "HF_HUB_OFFLINE": "1",
    "http_proxy": NOWHERE,
    "https_proxy": NOWHERE,
    "all_proxy": NOWHERE,
}


@pytest.fixture(scope="module")
def source(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the repository without what builds, tools and environments leave in it."""
    copy = tmp_path_factory.mktemp("source") / "granite-mlx"
    ignore = shutil.ignore_patterns(*NOT_SOURCE)
    return Path(shutil.copytree(repository, copy, symlinks=True, ignore=ignore))


@pytest.fixture(scope="module")
def dist(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with the sdist and the wheel that was built from it."""
    out = tmp_path_factory.mktemp("dist")
    _run([sys.executable, "-m", "build", "--outdir", out, source])
    return out


@pytest.fixture(scope="module")
def sdist(dist: Path) -> Iterator[tarfile.TarFile]:
    with tarfile.open(_only(dist, "*.tar.gz")) as archive:
        yield archive


@pytest.fixture(scope="module")
def wheel(dist: Path) -> Path:
    return _only(dist, "*.whl")


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """bin/ of a fresh environment with the wheel and its dependencies, as a user has it."""
    return _environment(tmp_path_factory.mktemp("installed"), wheel)


@pytest.fixture(scope="module")
def editable(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """bin/ of a fresh environment with an editable install, without dependencies."""
    return _environment(tmp_path_factory.mktemp("editable"), "--no-deps", "--editable", source)


def test_wheel_from_the_tree_equals_wheel_from_the_sdist(
    source: Path, wheel: Path, tmp_path: Path
) -> None:
    _run([sys.executable, "-m", "build", "--wheel", "--outdir", tmp_path, source])
    assert _contents(_only(tmp_path, "*.whl")) == _contents(wheel)


def test_wheel_holds_every_file_of_the_package_and_nothing_else(source: Path, wheel: Path) -> None:
    names = set(_contents(wheel))
    metadata = f"granite_mlx-{granite_mlx.__version__}.dist-info"
    assert {name.partition("/")[0] for name in names} == {"granite_mlx", metadata}
    assert {name for name in names if name.startswith("granite_mlx/")} == set(_package(source))
    assert "granite_mlx/convert/__init__.py" in names
    for notice in ("LICENSE", "NOTICE", "THIRD_PARTY.md"):
        assert f"{metadata}/licenses/{notice}" in names


def test_wheel_is_small(wheel: Path) -> None:
    n_bytes = wheel.stat().st_size
    print(f"{wheel.name}: {n_bytes / 1e6:.1f} MB")
    assert n_bytes < WHEEL_LIMIT_BYTES


def test_sdist_holds_what_a_developer_needs(source: Path, sdist: tarfile.TarFile) -> None:
    top = f"granite_mlx-{granite_mlx.__version__}/"
    members = {member.name.removeprefix(top): member for member in sdist if not member.isdir()}
    assert all(member.isfile() for member in members.values()), "links break in a wheel"
    developed = [
        path.relative_to(source).as_posix()
        for folder in ("tests", "demo", "docs", "benchmarks")
        for path in (source / folder).rglob("*")
        if path.is_file()
    ]
    files = ["Makefile", "pyproject.toml", "README.md", "CHANGELOG.md", "CONTRIBUTING.md"]
    assert {*_package(source), *developed, *files} <= set(members)


@pytest.mark.parametrize("environment", ["installed", "editable"])
@pytest.mark.parametrize("name", ["convert", "benchmarks", "tests", "demo"])
def test_folders_of_the_repository_are_not_importable(
    environment: str, name: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    python = request.getfixturevalue(environment) / "python"
    result = _run([python, "-c", f"import {name}"], cwd=tmp_path, check=False)
    assert f"No module named '{name}'" in result.stderr


@pytest.mark.parametrize("environment", ["installed", "editable"])
def test_convert_is_importable_inside_the_package(
    environment: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    python = request.getfixturevalue(environment) / "python"
    _run([python, "-c", "import granite_mlx.convert"], cwd=tmp_path)


def test_installed_wheel_transcribes_a_real_recording_without_network(
    installed: Path, tmp_path: Path
) -> None:
    package = _only(installed.parent, "lib/*/site-packages/granite_mlx")
    recording = package / "demo_checkpoint" / "examples" / "digits.flac"
    command = [installed / "granite-mlx", "transcribe", "-m", "demo", recording]
    result = _run(
        [*_without_network(), *command], cwd=tmp_path, env={**_plain_environment(), **OFFLINE}
    )
    assert result.stdout.strip() == recording.with_suffix(".txt").read_text().strip()


def _environment(folder: Path, *what: str | Path) -> Path:
    """Make an environment in `folder`, `pip install` into it; its folder of programs."""
    venv.create(folder, with_pip=True)
    programs = folder / "bin"
    _run([programs / "python", "-m", "pip", "install", "--quiet", *what], cwd=folder)
    return programs


def _plain_environment() -> dict[str, str]:
    """The variables less what shows one interpreter another's modules; no caches in `source`."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
    return {**kept, "PYTHONDONTWRITEBYTECODE": "1"}


def _without_network() -> list[str]:
    """The command that runs another with no network at all, where the system has and allows it."""
    unshare = ["unshare", "--map-root-user", "--net"]
    if shutil.which("unshare") and _run([*unshare, "true"], check=False).returncode == 0:
        return unshare
    return []


def _run(
    command: list[str | Path],
    *,
    cwd: Path | None = None,
    env: dict[str, str] | None = None,
    check: bool = True,
) -> subprocess.CompletedProcess[str]:
    result = subprocess.run(
        command, cwd=cwd, env=env or _plain_environment(), capture_output=True, text=True
    )
    if check:
        assert result.returncode == 0, f"{command}\n{result.stdout}\n{result.stderr}"
    return result


def _only(folder: Path, pattern: str) -> Path:
    [path] = folder.glob(pattern)
    return path


def _contents(wheel: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(wheel) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def _package(source: Path) -> Iterator[str]:
    """Every file of the package, as "granite_mlx/...", with the link to convert/ followed."""
    for folder, _, names in os.walk(source / "granite_mlx", followlinks=True):
        for name in names:
            yield (Path(folder) / name).relative_to(source).as_posix()
