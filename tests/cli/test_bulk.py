"""Many recordings: what is left out, what is done together, and how the pace is told."""

import io
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from granite_mlx.cli import main
from granite_mlx.transcript import FORMATS

Run = Callable[..., Any]
Recordings = Callable[..., Path]


class Terminal(io.StringIO):
    """A stderr that someone watches."""

    def isatty(self) -> bool:
        return True


def said(terminal: Terminal) -> list[str]:
    """What stays on the terminal: without the lines of progress, which are erased."""
    return [line.rpartition("\x1b[K")[2] for line in terminal.getvalue().split("\n")[:-1]]


def names(model: Any) -> list[str]:
    return [Path(call["audio"]).name for call in model.calls]


def test_existing_outputs_are_left_alone(
    run: Run, model: Any, recording: Recordings, tmp_path: Path
) -> None:
    a, b, c = recording("a.wav", "new"), recording("b.wav", "two"), recording("c.wav", "three")
    out = tmp_path / "out"
    for name in (*(f"out/a.{one}" for one in FORMATS), "out/c.txt"):
        recording(name, "old")
    ran = run("transcribe", a, b, c, "-o", out, "--skip-existing", "-f", "all")
    assert (ran.code, names(model)) == (0, ["b.wav", "c.wav"])  # one of c's was not there
    assert (out / "a.txt").read_text() == "old"
    assert (out / "c.txt").read_text() == "three\n"
    assert run("transcribe", a, b, c, "-o", out, "--skip-existing").code == 0
    assert len(model.loaded) == 1


def test_a_folder_in_the_place_of_an_output_is_none(
    run: Run, model: Any, recording: Recordings, tmp_path: Path
) -> None:
    (tmp_path / "out" / "a.txt").mkdir(parents=True)
    assert (
        run("transcribe", recording("a.wav"), "-o", tmp_path / "out", "--skip-existing").code == 2
    )
    assert names(model) == ["a.wav"]


def test_missing_files_fail_whether_or_not_others_are_left_out(
    run: Run, recording: Recordings, tmp_path: Path
) -> None:
    a = recording("a.wav", "one")
    command = ["transcribe", a, tmp_path / "missing.wav", "-o", tmp_path / "out"]
    assert [run(*command).code, run(*command, "--skip-existing").code] == [1, 1]


def test_skip_existing_needs_a_folder(run: Run, model: Any, recording: Recordings) -> None:
    ran = run("transcribe", recording("a.wav"), "--skip-existing")
    assert (ran.code, model.loaded) == (2, [])
    assert ran.err == "granite-mlx: --skip-existing is about output files and needs -o DIR.\n"


@pytest.mark.parametrize("kind", ["symlink", "folder"])
def test_two_names_of_one_file_are_not_two_outputs(
    kind: str, run: Run, recording: Recordings, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    a, b = recording("t/1/x.wav", "one"), recording("t/2/x.wav", "two")
    if kind == "symlink":
        recording("out/1/x.txt", "old")
        (out / "2").mkdir()
        (out / "2" / "x.txt").symlink_to(out / "1" / "x.txt")
    else:
        (out / "1").mkdir(parents=True)
        (out / "2").symlink_to(out / "1")
    assert run("transcribe", "-r", tmp_path / "t", "-o", out).code == 0
    assert (a.read_text(), b.read_text()) == ("one", "two")
    assert (out / "1" / "x.txt").read_text() == "one\n"
    assert (out / "2" / "x-2.txt").read_text() == "two\n"


def test_a_file_in_the_place_of_a_folder_fails_what_belongs_there(
    run: Run, recording: Recordings, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    for name in ("t/a/x.wav", "t/a/b/y.wav", "t/z.wav"):
        recording(name)
    recording("out/a", "a file")
    ran = run("transcribe", "-r", tmp_path / "t", "-o", out)
    assert ran.code == 1
    assert ran.err.splitlines()[:2] == [
        f"granite-mlx: {tmp_path}/t/a/x.wav: {out}/a is a file, where its output needs a folder.",
        f"granite-mlx: {tmp_path}/t/a/b/y.wav: {out}/a/b: Not a directory",
    ]
    assert (out / "z.txt").read_text() == "words\n"
    assert (out / "a").read_text() == "a file"


NAMES = st.sampled_from(
    [
        "a",
        "A",
        "a-2",
        "é",
        "e\u0301",
        "two\nlines",
        "-k",
        "..x",
        "x y",
        "{stem}",
        "%s",
        "日本",
        "a.txt",
    ]
)
TREES = st.dictionaries(
    st.tuples(
        st.lists(NAMES, max_size=2).map(tuple), NAMES, st.sampled_from([".wav", ".WAV", ".mp3"])
    ),
    st.booleans(),  # named itself too
    max_size=10,
)


@settings(deadline=None, max_examples=100, suppress_health_check=list(HealthCheck))
@given(
    TREES, st.sampled_from([None, "{stem}.{ext}", "{folder}/x.{ext}", "{stem}/{language}.{ext}"])
)
@example({((), "..x", ".wav"): True}, None)
@example({}, None)
def test_each_recording_of_any_tree_has_an_output_of_its_own(
    model: Any, tree: dict[tuple[tuple[str, ...], str, str], bool], template: str | None
) -> None:
    with tempfile.TemporaryDirectory() as place:
        top, out = Path(place, "t"), Path(place, "out")
        top.mkdir()
        texts, named, is_empty = [], [], True
        for n, ((folders, stem, suffix), is_named) in enumerate(tree.items()):
            path = top.joinpath(*folders, stem + suffix)
            if path.exists():  # on a disk that does not tell case apart
                continue
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(f"text {n}")
            is_hidden = any(part.startswith(".") for part in (*folders, stem))
            is_empty &= is_hidden
            if is_named or not is_hidden:
                texts.append(f"text {n}\n")
            if is_named:
                named.append(str(path))
        options = [] if template is None else ["--output-template", template]
        command = ["transcribe", "-r", "-f", "txt", "-o", str(out), *options, "--quiet", "--"]
        code = main([*command, *named, str(top)], load=model.load)
        assert code == (0 if not is_empty else 1 if texts else 2)
        written = [path for path in out.rglob("*") if path.is_file()]
        assert sorted(path.read_text() for path in written) == sorted(texts)
        assert len({os.path.relpath(path, out).casefold() for path in written}) == len(texts)


def test_batches_are_of_neighbours_and_each_output_is_its_own(
    run: Run, model: Any, recording: Recordings, tmp_path: Path
) -> None:
    texts = {"a.wav": "x" * 900, "b.wav": "y", "c.mp3": "z", "d.wav": "w" * 800, "e.wav": "v"}
    texts["f.mp3"] = "u" * 700
    files = [recording(name, text) for name, text in texts.items()]
    ran = run("transcribe", *files, "-o", tmp_path / "out", "--batch-size", "2")
    assert (ran.code, ran.err) == (0, "")
    assert [[Path(one).name for one in batch] for batch in model.batches] == [
        ["a.wav", "b.wav"],
        ["c.mp3", "d.wav"],
        ["e.wav", "f.mp3"],
    ]
    for name, text in texts.items():
        assert (tmp_path / "out" / name[:1]).with_suffix(".txt").read_text() == f"{text}\n"


def test_batches_keep_the_order_on_stdout_and_leave_stdin_alone(
    run: Run, model: Any, recording: Recordings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"piped")))
    a, b, c = recording("a.wav", "one"), recording("b.wav", "two"), recording("c.wav", "three")
    ran = run("transcribe", c, a, "-", b, "--batch-size", "8", "-k", "Erik", "--punctuate")
    assert ran.out == f"== {c} ==\nthree\n== {a} ==\none\n== stdin ==\npiped\n== {b} ==\ntwo\n"
    assert model.batches == [[str(c), str(a)]]
    assert all(call["punctuate"] and call["keywords"] == ["Erik"] for call in model.calls)


def test_a_bad_recording_does_not_spoil_its_batch(run: Run, recording: Recordings) -> None:
    a, bad, d = recording("a.wav", "one"), recording("b.wav", "!audio no."), recording("d.wav", "4")
    ran = run("transcribe", a, bad, "missing.wav", d, "--batch-size", "4")
    assert (ran.code, ran.out) == (1, f"== {a} ==\none\n== {d} ==\n4\n")
    assert ran.err.splitlines()[-1] == f"granite-mlx: 2 of 4 files failed: missing.wav, {bad}"


def test_what_breaks_a_whole_batch_is_tried_one_by_one(
    run: Run, model: Any, recording: Recordings
) -> None:
    a, bug, c = recording("a.wav", "one"), recording("b.wav", "!bug"), recording("c.wav", "three")
    ran = run("transcribe", a, bug, c, "--batch-size", "3")
    assert (ran.code, ran.out) == (1, f"== {a} ==\none\n== {c} ==\nthree\n")
    assert len(model.batches) == 1


def test_what_stops_every_recording_comes_after_what_is_done(
    run: Run, model: Any, recording: Recordings
) -> None:
    bad, b = recording("a.wav", "!value this cannot work."), recording("b.wav", "two")
    ran = run("transcribe", bad, b, recording("c.wav"), "--batch-size", "2")
    assert (ran.code, ran.out) == (1, f"== {b} ==\ntwo\n")
    assert ran.err == "granite-mlx: this cannot work.\n"
    assert len(model.batches) == 1


def test_a_part_of_each_recording_of_a_batch(run: Run, model: Any, recording: Recordings) -> None:
    ran = run("transcribe", recording("a.wav"), recording("b.wav"), "--start", "1", "--end", "9")
    assert (ran.code, len(model.batches)) == (0, 1)
    assert [(call["start_s"], call["end_s"]) for call in model.calls] == [(1.0, 9.0)] * 2


def test_what_a_delivery_raises_ends_a_batch(
    run: Run, model: Any, recording: Recordings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is no failure of the batch, which would be tried again one by one."""

    def settle(*_: Any) -> None:
        raise BrokenPipeError

    monkeypatch.setattr("granite_mlx.cli.loop.Batch._settle", settle)
    run("transcribe", recording("a.wav"), recording("b.wav"))
    assert len(names(model)) == 1


def test_the_end_is_a_summary_for_those_who_watch(
    run: Run, recording: Recordings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    terminal = Terminal()
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr("sys.stderr", terminal)
    a, b, bad = recording("a.wav"), recording("b.wav"), recording("c.wav", "!audio no sound.")
    recording("out/a.txt", "old")
    assert run("transcribe", a, b, bad, "-o", tmp_path / "out", "--skip-existing").code == 1
    first, note, failed, account, summary = said(terminal)
    assert first == "1 of 3 files are done already."
    assert note == f"{b} -> {tmp_path}/out/b.txt"
    assert failed == f"granite-mlx: {bad}: no sound."
    assert account == f"granite-mlx: 1 of 3 files failed: {bad}"
    assert summary.startswith("1 file, 0:02 of audio in 0:00 (RTFx ")
    progress = [text for text in terminal.getvalue().split("\r\x1b[K") if text.startswith("[")]
    assert progress[0].startswith("[2-3/3] 50%, 0:00 left: ")
    assert progress[1].startswith("[3/3] 0%, 0:00 left, RTFx ")


def test_an_interruption_keeps_what_is_done_of_a_batch(
    run: Run, model: Any, recording: Recordings, tmp_path: Path
) -> None:
    texts = {"a.wav": "1", "b.wav": "2", "c.wav": "three", "d.wav": "!interrupt"}
    files = [recording(name, text) for name, text in texts.items()]
    options = ["-o", tmp_path / "out", "--batch-size", "2", "--manifest", tmp_path / "m"]
    ran = run("transcribe", *files, *options)
    assert (ran.code, ran.err) == (130, "granite-mlx: interrupted; 3 of 4 files are done.\n")
    assert sorted(os.listdir(tmp_path / "out")) == ["a.txt", "b.txt", "c.txt"]
    files[3].write_text("four")
    model.calls.clear()
    assert run("transcribe", *files, *options).code == 0
    assert names(model) == ["d.wav"]
    assert (tmp_path / "out" / "c.txt").read_text() == "three\n"
