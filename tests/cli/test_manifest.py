"""The manifest: what it says, what is taken from it, and what it refuses to be added to."""

import itertools
import json
import os
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from granite_mlx.transcript import FORMATS

Run = Callable[..., Any]
Recordings = Callable[..., Path]


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    return tmp_path / "manifest.jsonl"


def lines(manifest: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in manifest.read_text(encoding="utf-8").splitlines()]


def heard(model: Any) -> list[str]:
    """The recordings that the model was asked about since the last call."""
    names = [Path(call["audio"]).name for call in model.calls]
    model.calls.clear()
    return names


def test_a_line_for_each_recording(
    run: Run, recording: Recordings, manifest: Path, tmp_path: Path
) -> None:
    a, b = recording("a.wav", "one"), recording("b\u2028é.wav", "!audio no\nsound.")
    ran = run("transcribe", a, b, "-f", "all", "-o", tmp_path / "out", "--manifest", manifest)
    assert ran.code == 1
    done, failed = (json.loads(line) for line in manifest.read_text().split("\n")[:-1])
    assert done.pop("wall_s") >= 0
    assert (done["options"], len(done["options"])) == (failed["options"], 16)
    assert done == {
        "manifest_version": 1,
        "input": str(a),
        "outputs": [str(tmp_path / "out" / f"a.{one}") for one in FORMATS],
        "status": "done",
        "options": done["options"],
        "size_bytes": 3,
        "modified_ns": a.stat().st_mtime_ns,
        "duration_s": 1.5,
        "model": "fake",
        "error": None,
    }
    assert failed == {
        "manifest_version": 1,
        "input": str(b),
        "outputs": [],
        "status": "failed",
        "options": failed["options"],
        "size_bytes": b.stat().st_size,
        "modified_ns": b.stat().st_mtime_ns,
        "duration_s": None,
        "wall_s": None,
        "model": None,
        "error": "no sound.",
    }


def test_what_is_done_is_left_out_and_what_failed_is_tried_again(
    run: Run, model: Any, recording: Recordings, manifest: Path, tmp_path: Path
) -> None:
    a, b = recording("a.wav", "one"), recording("b.wav", "!audio no sound.")
    command = ["transcribe", a, b, "-o", tmp_path / "out", "--manifest", manifest]
    assert run(*command).code == 1
    assert heard(model) == ["a.wav", "b.wav"]
    ran = run(*command)
    assert (ran.code, heard(model)) == (1, ["b.wav"])  # the exit code of an uninterrupted run
    b.write_text("two")
    assert (run(*command).code, heard(model)) == (0, ["b.wav"])
    n_loaded = len(model.loaded)
    assert (run(*command).code, heard(model), len(model.loaded)) == (0, [], n_loaded)
    assert [line["status"] for line in lines(manifest)] == ["done", "failed", "failed", "done"]


def test_it_is_done_again_when_recording_options_or_outputs_have_changed(
    run: Run, model: Any, recording: Recordings, manifest: Path, tmp_path: Path
) -> None:
    a, out = recording("a.wav", "one"), tmp_path / "out"
    command = ["transcribe", a, "-o", out, "--manifest", manifest]
    for change in (
        lambda: None,
        lambda: a.write_text("another"),
        lambda: os.utime(a, ns=(0, 1)),
        lambda: (out / "a.txt").unlink(),
        lambda: command.append("--punctuate"),
        lambda: command.extend(["-k", "Erik"]),
        lambda: command.extend(["-m", "demo"]),
        lambda: command.extend(["-f", "json"]),
        lambda: command.extend(["-f", "all"]),
    ):
        change()
        assert (run(*command).code, heard(model)) == (0, ["a.wav"])
        assert (run(*command).code, heard(model)) == (0, [])
    # All formats are there: none is made again.
    assert (run(*command, "-f", "txt").code, heard(model)) == (0, [])
    # What says nothing about the text changes nothing.
    assert (run(*command, "--quiet", "--debug", "--batch-size", "2").code, heard(model)) == (0, [])
    assert (run(*command, "--temperature", "0").code, heard(model)) == (0, [])


def test_the_content_of_a_keywords_file_counts(
    run: Run, model: Any, recording: Recordings, manifest: Path, tmp_path: Path
) -> None:
    a, terms = recording("a.wav", "one"), recording("terms.txt", "Erik")
    command = ["transcribe", a, "-o", tmp_path / "out", "--manifest", manifest]
    assert run(*command, "--keywords-file", terms).code == 0
    assert heard(model) == ["a.wav"]
    assert run(*command, "-k", "Erik").code == 0
    assert heard(model) == []
    terms.write_text("Kathryn")
    assert run(*command, "--keywords-file", terms).code == 0
    assert heard(model) == ["a.wav"]


def test_other_runs_do_not_write_over_a_recordings_output(
    run: Run, model: Any, recording: Recordings, manifest: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    b, c = recording("2/x.wav", "b"), recording("3/X.wav", "c")
    options = ["-o", out, "--manifest", manifest]
    assert run("transcribe", c, *options).code == 0
    assert run("transcribe", b, *options).code == 0
    assert run("transcribe", b, c, *options).code == 0
    assert heard(model) == ["X.wav", "x.wav"]
    a = recording("1/x.wav", "a")
    assert run("transcribe", a, b, c, *options).code == 0
    assert heard(model) == ["x.wav"]
    texts = {path.name: path.read_text() for path in out.iterdir()}
    assert texts == {"X.txt": "c\n", "x-2.txt": "b\n", "x-3.txt": "a\n"}
    # With other options each is written where it was.
    assert run("transcribe", a, b, c, *options, "--punctuate").code == 0
    assert {path.name: path.read_text() for path in out.iterdir()} == texts
    # Without the manifest nobody knows; that is what --manifest is for.


def test_stdout_and_stdin_are_noted_and_always_done_again(
    run: Run, recording: Recordings, manifest: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    a = recording("a.wav", "one")
    for _ in range(2):
        with open(recording("pipe", "two"), encoding="utf-8") as stdin:
            monkeypatch.setattr("sys.stdin", stdin)
            ran = run("transcribe", a, "-", "--manifest", manifest)
        assert (ran.code, ran.out) == (0, f"== {a} ==\none\n== stdin ==\ntwo\n")
    assert [line["input"] for line in lines(manifest)] == [str(a), "-", str(a), "-"]
    assert all(line["outputs"] == [] for line in lines(manifest))


@pytest.mark.parametrize("cut", [1, 10, 25, 100])
def test_a_line_that_a_crash_cut_off_is_passed_over(
    cut: int, run: Run, model: Any, recording: Recordings, manifest: Path, tmp_path: Path
) -> None:
    a, b = recording("a.wav", "one"), recording("b.wav", "two")
    command = ["transcribe", a, b, "-o", tmp_path / "out", "--manifest", manifest]
    assert run(*command).code == 0
    first, second = manifest.read_bytes().splitlines(keepends=True)
    manifest.write_bytes(first + second[:cut])
    heard(model)
    assert (run(*command).code, heard(model)) == (0, ["b.wav"])
    assert json.loads(manifest.read_text().splitlines()[2])["input"] == str(b)
    assert (run(*command).code, heard(model)) == (0, [])


@pytest.mark.parametrize(
    "content",
    [
        "RIFF\0\0",
        "some text\n",
        '{"text": "x"}\n',
        "[]\n",
        '{"manifest_version": 1}\nx\n',
        "\n\nx\n",
    ],
)
def test_another_file_is_not_written_to(
    content: str, run: Run, model: Any, recording: Recordings, tmp_path: Path
) -> None:
    other = recording("other", content)
    ran = run("transcribe", recording("a.wav"), "--manifest", other)
    assert (ran.code, ran.out, model.loaded) == (2, "", [])
    assert "is none of a manifest" in ran.err
    assert ran.err.count("\n") == 1
    assert other.read_text() == content


@pytest.mark.parametrize(
    "line",
    [
        '{"manifest_version": 2, "input": "a"}',
        '{"manifest_version": 1, "input": "a", "outputs": "b", "status": "done", "options": ""}',
        '{"manifest_version": 1, "input": "a", "outputs": [1], "status": "done", "options": ""}',
        '{"manifest_version": 1, "input": "a", "later": 3}',
    ],
)
def test_a_line_that_we_do_not_understand_is_passed_over(
    line: str, run: Run, recording: Recordings, manifest: Path
) -> None:
    manifest.write_text(line + "\n")
    assert run("transcribe", recording("a.wav"), "--manifest", manifest).code == 0
    assert manifest.read_text().startswith(line + "\n{")


def test_a_manifest_that_cannot_be_opened(
    run: Run, model: Any, recording: Recordings, tmp_path: Path
) -> None:
    a = recording("a.wav")
    for path, message in [
        (tmp_path / "missing" / "m", "it cannot be opened (No such file or directory)."),
        (tmp_path, "it is no plain file; name one, or a new one."),
        (Path("/dev/null"), "it is no plain file; name one, or a new one."),
    ]:
        ran = run("transcribe", a, "--manifest", path)
        assert (ran.code, ran.out, model.loaded) == (2, "", [])
        assert ran.err == f"granite-mlx: --manifest {path}: {message}\n"


def test_no_output_replaces_the_manifest(run: Run, recording: Recordings, tmp_path: Path) -> None:
    out = tmp_path / "out"
    a = recording("m.wav", "one")
    ran = run("transcribe", a, "-f", "json", "-o", out, "--manifest", out / "m.json")
    assert ran.code == 0
    assert [line["outputs"] for line in lines(out / "m.json")] == [[str(out / "m-2.json")]]


def test_what_stops_every_recording_is_no_recordings_failure(
    run: Run, recording: Recordings, manifest: Path
) -> None:
    bad = recording("a.wav", "!value this cannot work.")
    assert run("transcribe", bad, "--manifest", manifest).code == 2
    assert manifest.read_text() == ""


def test_an_output_that_cannot_be_written_is_a_failure(
    run: Run, recording: Recordings, manifest: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    (out / "a.txt").mkdir(parents=True)
    assert run("transcribe", recording("a.wav"), "-o", out, "--manifest", manifest).code == 2
    (line,) = lines(manifest)
    assert (line["status"], line["error"]) == ("failed", f"{out}/a.txt: Is a directory")


def test_each_of_a_batch_has_the_time_since_the_one_before(
    run: Run, recording: Recordings, manifest: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ticks = itertools.count()
    clock = SimpleNamespace(monotonic=lambda: 3.0 * next(ticks))
    monkeypatch.setattr("granite_mlx.cli.batch.time", clock)
    files = [recording(f"{n}.wav") for n in range(3)]
    assert run("transcribe", *files, "--batch-size", "3", "--manifest", manifest).code == 0
    # The clock is read at the beginning, and for each recording at a report of progress and then.
    assert [line["wall_s"] for line in lines(manifest)] == [6.0, 6.0, 6.0]
