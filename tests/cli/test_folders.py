"""--recursive: what is found in a folder, and what is passed over."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from granite_mlx.audio.suffixes import SUFFIXES, looks_like_recording
from granite_mlx.cli.folders import find_recordings

Run = Callable[..., Any]
Recordings = Callable[..., Path]


def found(folder: Path) -> list[str]:
    return [os.path.relpath(one.path, folder) for one in find_recordings(str(folder))]


@pytest.mark.parametrize("name", ["a.wav", "a.WAV", "a.b.Mp3", "-.ogg", "é\n.m4a"])
def test_recordings_by_name(name: str) -> None:
    assert looks_like_recording(name)


@pytest.mark.parametrize("name", [".a.wav", "._a.wav", ".wav", "wav", "a.txt", "a.wav.part", "a."])
def test_other_names(name: str) -> None:
    assert not looks_like_recording(name)


def test_suffixes_are_in_lower_case() -> None:
    assert all(suffix == suffix.lower() and suffix.startswith(".") for suffix in SUFFIXES)


def test_a_folder_is_taken_by_name_and_its_files_come_before_its_folders(
    recording: Recordings, tmp_path: Path
) -> None:
    for name in ("t/z.wav", "t/a.MP3", "t/b/c.flac", "t/b/a/x.ogg", "t/a/y.wav", "t/notes.txt"):
        recording(name)
    assert found(tmp_path / "t") == ["a.MP3", "z.wav", "a/y.wav", "b/c.flac", "b/a/x.ogg"]


def test_hidden_files_and_folders_are_passed_over(recording: Recordings, tmp_path: Path) -> None:
    for name in ("t/a.wav", "t/._a.wav", "t/.b.wav", "t/.trash/c.wav"):
        recording(name)
    assert found(tmp_path / "t") == ["a.wav"]


def test_links(recording: Recordings, tmp_path: Path) -> None:
    a, there = recording("t/a.wav"), recording("elsewhere/x.wav").parent
    (tmp_path / "t" / "b.wav").symlink_to(a)
    (tmp_path / "t" / "linked").symlink_to(there)
    (tmp_path / "t" / "loop").symlink_to(tmp_path / "t")
    (tmp_path / "t" / "self.wav").symlink_to(tmp_path / "t" / "self.wav")
    (tmp_path / "t" / "nowhere.wav").symlink_to(tmp_path / "missing")
    os.mkfifo(tmp_path / "t" / "pipe.wav")
    assert found(tmp_path / "t") == ["a.wav", "b.wav", "nowhere.wav", "self.wav"]
    (tmp_path / "u").symlink_to(tmp_path / "t")
    assert found(tmp_path / "u") == ["a.wav", "b.wav", "nowhere.wav", "self.wav"]


def test_a_path_near_the_longest(tmp_path: Path) -> None:
    here = tmp_path
    while len(str(here)) < 3700:
        here = here / ("d" * 200)
        here.mkdir()
    (here / "a.wav").touch()
    assert [one.path for one in find_recordings(str(tmp_path))] == [str(here / "a.wav")]


def test_the_folders_are_kept(run: Run, recording: Recordings, tmp_path: Path) -> None:
    out = tmp_path / "out"
    for name in ("t/x.wav", "t/a/x.wav", "t/A/x.wav", "t/x.txt/y.wav", "u/x.wav"):
        recording(name, name)
    named = recording("v/named.wav", "named")
    ran = run("transcribe", "-r", tmp_path / "t", tmp_path / "u", named, "-o", out)
    assert ran.code == 0
    texts = {
        str(path.relative_to(out)): path.read_text()
        for path in out.rglob("*.txt*")
        if path.is_file()
    }
    assert texts == {
        "x-2.txt": "t/x.wav\n",  # x.txt is a folder
        "A/x.txt": "t/A/x.wav\n",
        "a/x-2.txt": "t/a/x.wav\n",
        "x.txt/y.txt": "t/x.txt/y.wav\n",
        "x-3.txt": "u/x.wav\n",
        "named.txt": "named\n",
    }


def test_a_folder_without_the_option_is_one_error_that_names_it(
    run: Run, recording: Recordings, tmp_path: Path
) -> None:
    a = recording("t/a.wav", "one")
    ran = run("transcribe", tmp_path / "t", a)
    assert (ran.code, ran.out) == (1, f"== {a} ==\none\n")
    assert ran.err.splitlines() == [
        f"granite-mlx: {tmp_path}/t: this is a folder; add --recursive to take the recordings "
        "in it.",
        f"granite-mlx: 1 of 2 files failed: {tmp_path}/t",
    ]


def test_a_folder_without_recordings_is_told(
    run: Run, model: Any, recording: Recordings, tmp_path: Path
) -> None:
    recording("t/notes.txt")
    ran = run("transcribe", "-r", tmp_path / "t")
    assert (ran.code, model.loaded) == (2, [])
    assert ran.err.startswith(f"granite-mlx: {tmp_path}/t: this folder holds no recordings (.aac")
    assert ran.err.count("\n") == 1


def test_a_folder_that_is_of_no_use_takes_no_name(
    run: Run, recording: Recordings, tmp_path: Path
) -> None:
    empty, a = recording("in/a/notes.txt").parent, recording("a.wav", "one")
    for options in ([], ["--output-template", "{folder}/{stem}.{ext}"], ["--skip-existing"]):
        out = tmp_path / f"out{len(options)}{''.join(options[:1])}"
        ran = run("transcribe", "-r", empty, a, "-o", out, *options, "--batch-size", "2")
        assert ran.code == 1
        assert ran.err.startswith(f"granite-mlx: {empty}: this folder holds no recordings (")
        assert ran.err.endswith(f"granite-mlx: 1 of 2 files failed: {empty}\n")
        assert [path.name for path in out.rglob("*.txt")] == ["a.txt"]
        assert run("transcribe", "-r", empty, "-o", out, *options).code == 2


def test_a_folder_that_cannot_be_read_does_not_stop_the_others(
    run: Run, recording: Recordings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    a, private = recording("t/a.wav", "one"), recording("t/private/b.wav").parent
    recording("t/z/c.wav", "three")
    scandir = os.scandir

    def refuse(folder: str) -> Any:  # the superuser, who runs tests in containers, may read it
        if folder == str(private):
            raise PermissionError(13, "Permission denied", folder)
        return scandir(folder)

    monkeypatch.setattr("os.scandir", refuse)
    ran = run("transcribe", "-r", tmp_path / "t")
    assert ran.code == 1
    assert ran.out == f"== {a} ==\none\n== {tmp_path}/t/z/c.wav ==\nthree\n"
    assert ran.err.splitlines()[0] == (
        f"granite-mlx: {private}: this folder cannot be read (Permission denied)."
    )


def test_what_is_named_or_linked_twice_is_done_once(
    run: Run, model: Any, recording: Recordings, tmp_path: Path
) -> None:
    a, b = recording("t/a.wav"), recording("t/sub/b.wav")
    (tmp_path / "t" / "c.wav").symlink_to(a)
    folder = tmp_path / "t"
    assert run("transcribe", "-r", folder, folder, tmp_path / "t" / "sub", a).code == 0
    assert [call["audio"] for call in model.calls] == [str(b), str(a)]
    model.calls.clear()
    assert run("transcribe", a, a).code == 0  # whoever names it twice wants it twice
    assert len(model.calls) == 2


def test_a_folder_called_like_an_option(
    run: Run, recording: Recordings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recording("in/-r/a.wav", "one")
    monkeypatch.chdir(tmp_path / "in")
    assert run("transcribe", "-r", "-o", "../out", "--", "-r").code == 0
    assert (tmp_path / "out" / "a.txt").read_text() == "one\n"


def test_names_that_are_not_utf8(run: Run, tmp_path: Path) -> None:
    folder = os.fsencode(tmp_path) + b"/t/d\xff"
    try:
        os.makedirs(folder)
    except OSError:
        pytest.skip("this disk has UTF-8 names only")
    with open(folder + b"/a\xfe.wav", "wb") as file:
        file.write(b"one")
    out = tmp_path / "out"
    ran = run("transcribe", "-r", tmp_path / "t", "-o", out, "--manifest", tmp_path / "m.jsonl")
    assert (ran.code, ran.err) == (0, "")
    assert os.listdir(os.fsencode(out) + b"/d\xff") == [b"a\xfe.txt"]
    (tmp_path / "m.jsonl").read_text(encoding="utf-8")
