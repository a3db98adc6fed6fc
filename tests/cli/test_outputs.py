"""Output files: their names never collide, and nothing that was given is written over."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from granite_mlx.transcript import Transcript

Run = Callable[..., Any]
Recordings = Callable[..., Path]


def contents(folder: Path) -> dict[str, str]:
    return {path.name: path.read_text(encoding="utf-8") for path in sorted(folder.iterdir())}


def test_the_folder_is_made_and_stdout_stays_empty(
    run: Run, recording: Recordings, tmp_path: Path
) -> None:
    out = tmp_path / "new" / "out"
    ran = run("transcribe", recording("a.wav", "un"), recording("b.mp3", "deux"), "-o", out)
    assert (ran.code, ran.out, ran.err) == (0, "", "")
    assert contents(out) == {"a.txt": "un\n", "b.txt": "deux\n"}


def test_all_writes_every_format(run: Run, recording: Recordings, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert run("transcribe", recording("a.b.wav", "é"), "-f", "all", "-o", out).code == 0
    files = contents(out)
    assert sorted(files) == ["a.b.json", "a.b.srt", "a.b.tsv", "a.b.txt", "a.b.vtt"]
    assert files["a.b.txt"] == "é\n"
    assert Transcript.from_json(files["a.b.json"]).text == "é"


def test_names_that_collide_are_numbered_in_the_order_given(
    run: Run, recording: Recordings, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    files = [recording(f"{i}/x.wav", f"{i}") for i in "12"] + [recording("3/x.mp3", "3")]
    ran = run("transcribe", *files, "-o", out, "-f", "all")
    assert ran.code == 0
    texts = {name: text for name, text in contents(out).items() if name.endswith(".txt")}
    assert texts == {"x.txt": "1\n", "x-2.txt": "2\n", "x-3.txt": "3\n"}
    assert Transcript.from_json((out / "x-3.json").read_text()).text == "3"
    assert ran.err.splitlines() == [
        f"granite-mlx: warning: {files[1]}: its output is named x-2, because x is taken.",
        f"granite-mlx: warning: {files[2]}: its output is named x-3, because x is taken.",
    ]


def test_a_failed_recording_leaves_its_name_unused(
    run: Run, recording: Recordings, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    files = [recording("1/x.wav", "!audio no."), recording("2/x.wav", "two")]
    assert run("transcribe", *files, "-o", out).code == 1
    assert contents(out) == {"x-2.txt": "two\n"}


def test_an_earlier_output_is_replaced(run: Run, recording: Recordings, tmp_path: Path) -> None:
    out = tmp_path / "out"
    run("transcribe", recording("a.wav", "an earlier and longer text"), "-o", out)
    assert run("transcribe", recording("a.wav", "new"), "-o", out).err == ""
    assert contents(out) == {"a.txt": "new\n"}


def test_no_input_is_written_over(run: Run, recording: Recordings, tmp_path: Path) -> None:
    speech, terms = recording("a.txt", "spoken"), recording("b.txt", "Erik")
    other = recording("b.wav", "other")
    ran = run("transcribe", speech, other, "--keywords-file", terms, "-o", tmp_path)
    assert ran.code == 0
    assert contents(tmp_path) == {
        "a.txt": "spoken",
        "a-2.txt": "spoken\n",
        "b.txt": "Erik",
        "b-2.txt": "other\n",
        "b.wav": "other",
    }


@pytest.mark.parametrize("link", [os.link, os.symlink])
def test_no_input_is_written_over_through_a_link(
    link: Callable[..., None], run: Run, recording: Recordings, tmp_path: Path
) -> None:
    speech = recording("in/a.wav", "spoken")
    (tmp_path / "out").mkdir()
    link(speech, tmp_path / "out" / "a.txt")
    assert run("transcribe", speech, "-o", tmp_path / "out").code == 0
    assert speech.read_text() == "spoken"
    assert (tmp_path / "out" / "a-2.txt").read_text() == "spoken\n"


def test_stdin_is_named_stdin(
    run: Run, recording: Recordings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stdin = open(recording("pipe", "piped"), encoding="utf-8")  # noqa: SIM115
    monkeypatch.setattr("sys.stdin", stdin)
    with stdin:
        assert run("transcribe", "-", "-o", tmp_path / "out").code == 0
    assert contents(tmp_path / "out") == {"stdin.txt": "piped\n"}


@pytest.mark.parametrize("name", ["with space.wav", "two\nlines.wav", "-k.wav", "é.wav", "…"])
def test_unusual_names(
    name: str, run: Run, recording: Recordings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recording(f"in/{name}", "words")
    monkeypatch.chdir(tmp_path / "in")
    ran = run("transcribe", "-o", "../out", "--", name, "missing.wav")
    assert ran.code == 1
    assert contents(tmp_path / "out") == {f"{name.removesuffix('.wav')}.txt": "words\n"}


def test_a_newline_in_a_name_does_not_make_two_lines(
    run: Run, recording: Recordings, tmp_path: Path
) -> None:
    ran = run(
        "transcribe", recording("a.wav"), recording("b\n== x ==.wav"), tmp_path / "c\x1b\n.wav"
    )
    assert f"== {tmp_path}/b\\n== x ==.wav ==\n" in ran.out
    assert f"granite-mlx: {tmp_path}/c\\x1b\\n.wav: there is no such file." in ran.err.splitlines()


@pytest.mark.parametrize("place", ["file", "file/below"])
def test_a_folder_that_cannot_be_made(
    place: str, run: Run, recording: Recordings, model: Any, tmp_path: Path
) -> None:
    recording("file", "not a folder")
    ran = run("transcribe", recording("a.wav"), "-o", tmp_path / place)
    assert (ran.code, ran.out, model.loaded) == (2, "", [])
    assert ran.err.startswith(f"granite-mlx: -o {tmp_path / place}: the folder cannot be made (")
    assert ran.err.count("\n") == 1


def test_a_name_that_is_too_long_fails_that_file_alone_before_it_is_listened_to(
    run: Run, recording: Recordings, model: Any, tmp_path: Path
) -> None:
    longest = os.pathconf(tmp_path, "PC_NAME_MAX")
    fits = recording(f"{'x' * (longest - 4)}.wav", "words")
    options = ["-o", tmp_path / "out", "-f", "json", "--skip-existing"]
    ran = run("transcribe", fits, recording("a.wav"), *options)
    assert (ran.code, len(model.calls)) == (1, 1)
    assert ran.err.splitlines()[0] == (
        f"granite-mlx: {fits}: its output would have a name that is too long; give the recording "
        "a shorter one, or use --output-template."
    )
    assert list(contents(tmp_path / "out")) == ["a.json"]
    assert run("transcribe", fits, "-o", tmp_path / "txt").code == 0
    assert [len(name) for name in contents(tmp_path / "txt")] == [longest]
    template = ["--output-template", "{folder}.{ext}"]
    assert run("transcribe", fits, "-f", "json", "-o", tmp_path / "json", *template).code == 0
    assert list(contents(tmp_path / "json")) == [f"{tmp_path.name}.json"]


def test_a_folder_that_may_not_be_written_to(
    run: Run, recording: Recordings, model: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The superuser, who runs tests in containers, may write anywhere: the system's answer is set.
    monkeypatch.setattr("os.access", lambda path, mode: not mode & os.W_OK)
    ran = run("transcribe", recording("a.wav"), "-o", tmp_path / "out")
    assert (ran.code, model.loaded) == (2, [])
    assert ran.err == f"granite-mlx: -o {tmp_path}/out: you may not write to this folder.\n"


def test_an_output_that_cannot_be_written_fails_that_file_alone(
    run: Run, recording: Recordings, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    (out / "a.txt").mkdir(parents=True)
    a, b = recording("a.wav", "one"), recording("b.wav", "two")
    ran = run("transcribe", a, b, "-o", out)
    assert ran.code == 1
    assert (out / "b.txt").read_text() == "two\n"
    assert ran.err.splitlines()[0] == f"granite-mlx: {a}: {out}/a.txt: Is a directory"
    assert sorted(os.listdir(out)) == ["a.txt", "b.txt"]
