"""Several recordings through one model: order, failures, exit codes."""

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from granite_mlx.transcript import Transcript

Run = Callable[..., Any]
Recordings = Callable[..., Path]


def test_one_recording_is_its_text(run: Run, recording: Recordings) -> None:
    ran = run("transcribe", recording("a.wav", "« bonjour »"))
    assert (ran.code, ran.out, ran.err) == (0, "« bonjour »\n", "")


def test_several_recordings_stand_under_their_names(
    run: Run, recording: Recordings, model: Any
) -> None:
    a, b = recording("a.wav", "one"), recording("b c.wav", "two")
    ran = run("transcribe", b, a)
    assert (ran.code, ran.err) == (0, "")
    assert ran.out == f"== {b} ==\ntwo\n== {a} ==\none\n"
    assert len(model.loaded) == model.closed == 1


def test_silence_is_an_empty_line(run: Run, recording: Recordings) -> None:
    assert run("transcribe", recording("a.wav", "")).out == "\n"


def test_json_is_one_object_a_line_that_names_its_file(run: Run, recording: Recordings) -> None:
    a, b = recording("a.wav", "un deux"), recording("b.wav", "trois")
    ran = run("translate", a, b, "-f", "json", "--to", "en", "--language", "fr")
    records = [json.loads(line) for line in ran.out.splitlines()]
    assert [record["file"] for record in records] == [str(a), str(b)]
    transcripts = [Transcript.from_json(line) for line in ran.out.splitlines()]
    assert [t.text for t in transcripts] == ["un deux", "trois"]
    assert {(t.task, t.language, t.target_language) for t in transcripts} == {
        ("translate", "fr", "en")
    }


def test_json_of_one_recording_is_one_line_too(run: Run, recording: Recordings) -> None:
    ran = run("transcribe", recording("a.wav", "a\nb"), "-f", "json")
    assert ran.out.count("\n") == 1
    assert Transcript.from_json(ran.out).text == "a\nb"


def test_stdin(
    run: Run, recording: Recordings, model: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    stdin = io.TextIOWrapper(io.BytesIO(b"from a pipe"))
    monkeypatch.setattr("sys.stdin", stdin)
    a = recording("a.wav", "from a file")
    ran = run("transcribe", a, "-")
    assert ran.out == f"== {a} ==\nfrom a file\n== stdin ==\nfrom a pipe\n"
    # Not its bytes: whoever reads it knows how much is too much.
    assert [call["audio"] for call in model.calls] == [str(a), stdin.buffer]


class Terminal(io.TextIOWrapper):
    """A stdin at which someone could type."""

    def isatty(self) -> bool:
        return True


def test_a_terminal_as_stdin_is_not_waited_for(
    run: Run, model: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", Terminal(io.BytesIO(b"keys")))
    ran = run("transcribe", "-")
    assert (ran.code, model.loaded) == (2, [])
    assert ran.err == "granite-mlx: stdin: it is a terminal; pipe a recording into it.\n"


def test_a_bad_recording_does_not_stop_the_others(run: Run, recording: Recordings) -> None:
    a, bad, c = recording("a.wav", "one"), recording("bad.wav", "!audio no sound."), "missing.wav"
    d = recording("d.wav", "four")
    ran = run("transcribe", a, bad, c, d)
    assert ran.code == 1
    assert ran.out == f"== {a} ==\none\n== {d} ==\nfour\n"
    assert ran.err.splitlines() == [
        "granite-mlx: missing.wav: there is no such file.",  # found before any is listened to
        f"granite-mlx: {bad}: no sound.",
        f"granite-mlx: 2 of 4 files failed: missing.wav, {bad}",
    ]


def test_an_error_that_names_the_file_does_not_name_it_twice(
    run: Run, recording: Recordings, tmp_path: Path
) -> None:
    bad = recording("bad.wav", f"!audio {tmp_path}/bad.wav: no sound.")
    worse = recording("worse.wav", f"!audio {tmp_path}/worse.wav holds no sound.")
    ran = run("transcribe", bad, worse)
    assert ran.err.splitlines()[:2] == [
        f"granite-mlx: {bad}: no sound.",
        f"granite-mlx: {worse} holds no sound.",
    ]


def test_when_every_recording_fails_nothing_was_done(
    run: Run, recording: Recordings, model: Any
) -> None:
    ran = run("transcribe", recording("a.wav", "!audio no."), recording("b.wav", "!audio no."))
    assert (ran.code, ran.out, model.closed) == (2, "", 1)


def test_one_bad_recording_is_one_line(run: Run, recording: Recordings) -> None:
    a = recording("a.wav", "!audio --start is behind its end.")
    ran = run("transcribe", a)
    assert (ran.code, ran.err) == (2, f"granite-mlx: {a}: --start is behind its end.\n")


def test_no_model_is_loaded_for_recordings_that_are_not_there(
    run: Run, model: Any, tmp_path: Path
) -> None:
    ran = run("transcribe", tmp_path / "missing.wav", tmp_path)
    assert (ran.code, model.loaded) == (2, [])
    assert ran.err.splitlines()[:2] == [
        f"granite-mlx: {tmp_path}/missing.wav: there is no such file.",
        f"granite-mlx: {tmp_path}: this is a folder; add --recursive to take the recordings in it.",
    ]


def test_without_a_model_the_first_error_is_the_last(run: Run, recording: Recordings) -> None:
    ran = run("transcribe", recording("a.wav"), recording("b.wav"), "-m", "missing")
    assert (ran.code, ran.out) == (2, "")
    assert ran.err == "granite-mlx: there is no model called missing.\n"


@pytest.mark.parametrize("command", ["!language", "!checkpoint", "!value"])
def test_an_error_that_meets_every_recording_is_told_once(
    command: str, run: Run, recording: Recordings, model: Any
) -> None:
    bad = recording("b.wav", f"{command} this cannot work.")
    ran = run("transcribe", bad, recording("c.wav"), "--batch-size", "1")
    assert (ran.code, ran.out, ran.err) == (2, "", "granite-mlx: this cannot work.\n")
    assert run("transcribe", recording("a.wav"), bad, recording("c.wav")).code == 1
    assert model.closed == 2


def test_a_bug_is_one_line_and_the_others_go_on(run: Run, recording: Recordings) -> None:
    a, b = recording("a.wav", "!bug"), recording("b.wav", "two")
    ran = run("transcribe", a, b)
    assert (ran.code, ran.out) == (1, f"== {b} ==\ntwo\n")
    assert ran.err.splitlines()[0] == (
        f"granite-mlx: {a}: ZeroDivisionError: division by zero; this is a bug, "
        "please report it with --debug"
    )


def test_debug_shows_the_traceback(run: Run, recording: Recordings) -> None:
    a = recording("a.wav", "!bug")
    ran = run("transcribe", a, "--debug")
    assert ran.err.startswith("Traceback (most recent call last)")
    assert "fake_speech.py" in ran.err
    assert ran.err.splitlines()[-1].startswith(f"granite-mlx: {a}: ZeroDivisionError")


def test_warnings_are_told_with_their_place(run: Run, recording: Recordings) -> None:
    a = recording("a.wav", "!warn it repeats itself.")
    ran = run("transcribe", a)
    assert (ran.code, ran.out) == (0, "words\n")
    assert ran.err == f"granite-mlx: warning: {a}: 0.50-1.00 s: it repeats itself.\n"


def test_quiet_leaves_errors_only(run: Run, recording: Recordings) -> None:
    a, b = recording("a.wav", "!warn it repeats itself."), recording("b.wav", "!audio no sound.")
    ran = run("transcribe", a, b, "--quiet")
    assert ran.code == 1
    assert ran.err.splitlines() == [
        f"granite-mlx: {b}: no sound.",
        f"granite-mlx: 1 of 2 files failed: {b}",
    ]


def test_an_interruption_keeps_what_is_done(
    run: Run, recording: Recordings, model: Any, tmp_path: Path
) -> None:
    a, b = recording("a.wav", "one"), recording("b.wav", "!interrupt")
    ran = run("transcribe", a, b, recording("c.wav"), "-o", tmp_path / "out")
    assert (ran.code, ran.out) == (130, "")
    assert ran.err == "granite-mlx: interrupted; 1 of 3 files are done.\n"
    assert [path.read_text() for path in (tmp_path / "out").iterdir()] == ["one\n"]
    assert model.closed == 1
