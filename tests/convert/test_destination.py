import errno
import os
import shutil
import subprocess
import sys
from collections import namedtuple
from pathlib import Path

import pytest

from granite_mlx.convert.destination import Destination
from granite_mlx.errors import ConversionError

Usage = namedtuple("Usage", "total used free")


def checkpoint(folder: Path, content: str = "old") -> Path:
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(content)
    return folder


def fill(destination: Destination, content: str = "new") -> None:
    with destination.filled() as folder:
        (folder / "config.json").write_text(content)


def spoil(destination: Destination, error: BaseException) -> None:
    with destination.filled() as folder:
        (folder / "model.safetensors").write_text("half")
        raise error


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


# It is there whole


def test_a_new_folder(tmp_path: Path) -> None:
    destination = Destination(tmp_path / "new", force=False)
    with destination.filled() as folder:
        (folder / "config.json").write_text("new")
        assert folder.parent == tmp_path  # on the same disk
        assert not (tmp_path / "new").exists()
    assert names(tmp_path) == ["new"]
    assert (tmp_path / "new" / "config.json").read_text() == "new"


def test_folders_above_it_are_made(tmp_path: Path) -> None:
    fill(Destination(tmp_path / "a" / "b" / "new", force=False))
    assert names(tmp_path / "a" / "b") == ["new"]


def test_a_relative_path_and_a_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    fill(Destination("new", force=False))
    fill(Destination("~/models/new", force=False))
    assert (tmp_path / "new" / "config.json").is_file()
    assert (tmp_path / "home" / "models" / "new" / "config.json").is_file()


# Or not at all


@pytest.mark.parametrize("error", [ValueError("x"), KeyboardInterrupt(), SystemExit(1)])
def test_whatever_goes_wrong_leaves_nothing(tmp_path: Path, error: BaseException) -> None:
    destination = Destination(tmp_path / "a" / "b" / "new", force=False)
    with pytest.raises(type(error)) as caught:
        spoil(destination, error)
    assert caught.value is error
    assert names(tmp_path) == []


def test_folders_above_it_that_were_there_stay(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    with pytest.raises(ValueError, match="x"):
        spoil(Destination(tmp_path / "a" / "b" / "new", force=False), ValueError("x"))
    assert names(tmp_path) == ["a"]
    assert names(tmp_path / "a") == []


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_is_one_sentence(tmp_path: Path, code: int) -> None:
    destination = Destination(tmp_path / "new", force=False)
    with pytest.raises(ConversionError, match=r"disk is full: nothing was kept of .*new"):
        spoil(destination, OSError(code, os.strerror(code)))
    assert names(tmp_path) == []


def test_other_errors_of_the_system_are_passed_on(tmp_path: Path) -> None:
    destination = Destination(tmp_path / "new", force=False)
    with pytest.raises(PermissionError):
        spoil(destination, PermissionError(errno.EACCES, "Permission denied"))
    assert names(tmp_path) == []


def test_what_is_there_outlives_a_failed_replacement(tmp_path: Path) -> None:
    checkpoint(tmp_path / "there")
    with pytest.raises(ValueError, match="x"):
        spoil(Destination(tmp_path / "there", force=True), ValueError("x"))
    assert names(tmp_path) == ["there"]
    assert (tmp_path / "there" / "config.json").read_text() == "old"


def test_what_is_there_is_put_back_if_it_cannot_be_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpoint(tmp_path / "there")
    destination = Destination(tmp_path / "there", force=True)
    rename = Path.rename

    def failing(path: Path, target: Path) -> Path:
        if ".partial-" in path.name:
            raise OSError(errno.EIO, "Input/output error")
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", failing)
    with pytest.raises(OSError, match="Input/output"):
        fill(destination)
    assert names(tmp_path) == ["there"]
    assert (tmp_path / "there" / "config.json").read_text() == "old"


# What is there already


def test_something_there_is_refused(tmp_path: Path) -> None:
    checkpoint(tmp_path / "there")
    with pytest.raises(ConversionError, match=r"there exists already.*--force"):
        Destination(tmp_path / "there", force=False)


def test_force_replaces_an_earlier_conversion_and_all_of_it(tmp_path: Path) -> None:
    (checkpoint(tmp_path / "there") / "model-00001-of-00002.safetensors").touch()
    fill(Destination(tmp_path / "there", force=True))
    assert names(tmp_path) == ["there"]
    assert names(tmp_path / "there") == ["config.json"]


def test_force_replaces_what_a_link_leads_to(tmp_path: Path) -> None:
    checkpoint(tmp_path / "there")
    (tmp_path / "link").symlink_to("there")
    fill(Destination(tmp_path / "link", force=True))
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "there" / "config.json").read_text() == "new"


def test_force_does_not_replace_folders_of_other_things(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "thesis.tex").touch()
    with pytest.raises(ConversionError, match="holds no checkpoint"):
        Destination(tmp_path / "there", force=True)


def test_an_empty_folder_is_replaced_by_force_alone(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    with pytest.raises(ConversionError, match="exists already"):
        Destination(tmp_path / "there", force=False)
    fill(Destination(tmp_path / "there", force=True))
    assert names(tmp_path / "there") == ["config.json"]


@pytest.mark.parametrize("force", [False, True])
def test_a_file_is_never_replaced(tmp_path: Path, force: bool) -> None:
    (tmp_path / "there").touch()
    with pytest.raises(ConversionError, match="is a file"):
        Destination(tmp_path / "there", force=force)


@pytest.mark.parametrize("force", [False, True])
def test_the_root_is_no_destination(force: bool) -> None:
    with pytest.raises(ConversionError, match="cannot be replaced"):
        Destination("/", force=force)


def test_a_place_that_is_taken_in_the_meantime_is_not_replaced(tmp_path: Path) -> None:
    destination = Destination(tmp_path / "new", force=False)
    with pytest.raises(ConversionError, match="exists already"), destination.filled():
        checkpoint(tmp_path / "new", "somebody else's")
    assert names(tmp_path) == ["new"]
    assert (tmp_path / "new" / "config.json").read_text() == "somebody else's"


# The source


@pytest.mark.parametrize("place", [".", "..", "inside", "inside/deeper"])
def test_source_and_destination_are_not_in_each_other(tmp_path: Path, place: str) -> None:
    checkpoint(tmp_path / "models")
    source = checkpoint(tmp_path / "models" / "source")
    destination = Destination(source / place, force=True)
    with pytest.raises(ConversionError, match="leaves its source as it is"):
        destination.keep_apart_from(source)


def test_a_link_to_the_source_is_the_source(tmp_path: Path) -> None:
    source = checkpoint(tmp_path / "source")
    (tmp_path / "link").symlink_to("source")
    with pytest.raises(ConversionError, match="leaves its source as it is"):
        Destination(tmp_path / "link", force=True).keep_apart_from(source)
    with pytest.raises(ConversionError, match="leaves its source as it is"):
        Destination(source, force=True).keep_apart_from(tmp_path / "link")


def test_a_place_beside_the_source_is_fine(tmp_path: Path) -> None:
    source = checkpoint(tmp_path / "source")
    Destination(tmp_path / "source-q8", force=False).keep_apart_from(source)


# Room


def test_a_disk_without_room_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda place: Usage(9e9, 6e9, 3_000_000_000))
    destination = Destination(tmp_path / "a" / "new", force=False)
    destination.check_space(2_990_000_000)
    with pytest.raises(ConversionError, match=r"needs 3\.00 GB, but the disk has 3\.00 GB free"):
        destination.check_space(3_000_000_000)


# What killed processes leave


def test_leftovers_of_dead_processes_are_removed(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        pass  # its number belongs to nobody now
    leftovers = [f".new.partial-{process.pid}", f".new.partial-{os.getpid()}"]
    others = [f".new.partial-{os.getppid()}", ".new.partial-x", f".other.partial-{process.pid}",
              f".new.replaced-{process.pid}"]  # fmt: skip
    for name in leftovers + others:
        checkpoint(tmp_path / name)
    fill(Destination(tmp_path / "new", force=False))
    assert names(tmp_path) == sorted([*others, "new"])
