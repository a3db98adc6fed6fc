import errno
import fcntl
import os
import shutil
import subprocess
import sys
from collections import namedtuple
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from granite_mlx.convert.destination import Destination, remove_leftovers
from granite_mlx.errors import ConversionError

REPOSITORY = Path(__file__).resolve().parents[2]

Usage = namedtuple("Usage", "total used free")


def checkpoint(folder: Path, content: str = "old") -> Path:
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(content)
    (folder / "granite_mlx.json").touch()
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
    (tmp_path / "there" / "config.json").touch()
    with pytest.raises(
        ConversionError, match=r"holds no conversion \(granite_mlx\.json is missing"
    ):
        Destination(tmp_path / "there", force=True)


@pytest.mark.parametrize("name", ["thesis.tex", ".git/", "tokenizer.json/"])
def test_force_does_not_replace_what_somebody_has_put_there(tmp_path: Path, name: str) -> None:
    other = checkpoint(tmp_path / "there") / name
    other.mkdir() if name.endswith("/") else other.touch()
    with pytest.raises(ConversionError, match=f"holds {other.name}, which is no part of a conver"):
        Destination(tmp_path / "there", force=True)
    assert other.exists()


@pytest.mark.parametrize("name", ["", ".", "../there", ".."])
def test_the_current_folder_is_not_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.chdir(checkpoint(tmp_path / "there"))
    with pytest.raises(ConversionError, match="give the name of a"):
        Destination(name, force=True)


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
    source = checkpoint(tmp_path / "models" / "source")
    with pytest.raises(ConversionError, match=r"leaves its source as it is|holds no conversion"):
        Destination(source / place, force=True).keep_apart_from(source)


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

KILLED = """
import os, sys
from granite_mlx.convert.destination import Destination
with Destination(sys.argv[1], force=True).filled() as folder:
    (folder / "model.safetensors").touch()
    print(folder.name, flush=True)
    sys.stdin.read()
    os._exit(0)
"""


@contextmanager
def at_work(destination: Path) -> Iterator[str]:
    """Another process fills a destination until the block ends, where it is killed.

    Yields the name of its folder.
    """
    command = [sys.executable, "-c", KILLED, str(destination)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen(command, cwd=REPOSITORY, text=True, **pipes) as process:
        assert process.stdout is not None
        yield process.stdout.readline().strip()
        process.kill()


def test_what_another_process_is_at_work_on_stays(tmp_path: Path) -> None:
    with at_work(tmp_path / "new") as partial:
        assert names(tmp_path) == [partial]
        fill(Destination(tmp_path / "new", force=False))
        assert names(tmp_path) == [partial, "new"]
        (tmp_path / "new").rename(tmp_path / "moved")
    Destination(tmp_path / "new", force=False)
    assert names(tmp_path) == ["moved"]


def test_leftovers_of_other_destinations_stay(tmp_path: Path) -> None:
    mine = [".new.partial-0123abcd", ".new.partial-89abcdef"]
    others = [".new.partial-x", ".newer.partial-0123abcd", "new.partial-0123abcd", ".new.partial-1"]
    for name in mine + others:
        checkpoint(tmp_path / name)
    fill(Destination(tmp_path / "new", force=False))
    assert names(tmp_path) == sorted([*others, "new"])


def test_all_of_a_folder_are_removed_where_it_is_a_cache(tmp_path: Path) -> None:
    for name in (".a.partial-0123abcd", ".b.replaced-0123abcd", "b", "c"):
        checkpoint(tmp_path / name)
    remove_leftovers(tmp_path)
    assert names(tmp_path) == ["b", "c"]
    remove_leftovers(tmp_path / "absent")


def test_a_replacement_that_was_cut_short_is_undone(tmp_path: Path) -> None:
    checkpoint(tmp_path / ".there.replaced-0123abcd", "old")
    with pytest.raises(ConversionError, match="exists already"):
        Destination(tmp_path / "there", force=False)
    assert names(tmp_path) == ["there"]
    assert (tmp_path / "there" / "config.json").read_text() == "old"


def test_what_was_replaced_is_removed(tmp_path: Path) -> None:
    checkpoint(tmp_path / ".there.replaced-0123abcd", "old")
    checkpoint(tmp_path / "there", "new")
    Destination(tmp_path / "there", force=True)
    assert names(tmp_path) == ["there"]
    assert (tmp_path / "there" / "config.json").read_text() == "new"


def test_where_there_are_no_locks_nothing_is_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(number: int, operation: int) -> None:
        raise OSError(errno.EBADF, "Bad file descriptor")

    checkpoint(tmp_path / ".new.partial-0123abcd")
    monkeypatch.setattr(fcntl, "flock", refuse)
    fill(Destination(tmp_path / "new", force=False))
    assert names(tmp_path) == [".new.partial-0123abcd", "new"]


def test_a_place_that_is_taken_at_the_last_moment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rename = Path.rename

    def too_late(path: Path, target: Path) -> Path:
        checkpoint(target, "somebody else's")
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", too_late)
    with pytest.raises(ConversionError, match="made by somebody else in the meantime"):
        fill(Destination(tmp_path / "new", force=False))
    assert names(tmp_path) == ["new"]
    assert (tmp_path / "new" / "config.json").read_text() == "somebody else's"


ENDED = """
import sys, threading
from granite_mlx.convert.destination import Destination
begun = threading.Event()

def work():
    with Destination(sys.argv[1], force=False).filled() as folder:
        (folder / "model.safetensors").touch()
        begun.set()
        threading.Event().wait()

threading.Thread(target=work, daemon=True).start()
begun.wait()
"""


def test_a_process_that_does_not_wait_for_its_thread_leaves_nothing(tmp_path: Path) -> None:
    """As after a second Ctrl-C."""
    command = [sys.executable, "-c", ENDED, str(tmp_path / "new")]
    subprocess.run(command, cwd=REPOSITORY, check=True)
    assert names(tmp_path) == []
