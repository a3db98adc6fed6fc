"""The command in a process of its own: signals, pipes, terminals, encodings, start-up."""

import json
import os
import pty
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import granite_mlx
from granite_mlx.transcript import FORMATS, Transcript

from .terminals import read_all

Run = Callable[..., Any]
Recordings = Callable[..., Path]
HEAVY = {"av", "huggingface_hub", "jinja2", "mlx", "numpy", "soundfile", "soxr", "tokenizers"}
ENOUGH_S = 60


def test_version(finish: Run) -> None:
    ran = finish("--version", real=True)
    assert (ran.code, ran.out) == (0, f"granite-mlx {granite_mlx.__version__}\n")


@pytest.mark.parametrize("command", [[], ["transcribe"], ["translate"], ["doctor"]])
def test_help(command: list[str], finish: Run) -> None:
    ran = finish(*command, "--help", real=True, env={"COLUMNS": "80"})
    assert (ran.code, ran.err) == (0, "")
    assert ran.out.startswith(" ".join(["usage: granite-mlx", *command]))
    assert max(map(len, ran.out.splitlines())) <= 100


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys; from granite_mlx.cli import main; main(['transcribe', '--help']); "
        "print(*sys.modules, file=sys.stderr)"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=ENOUGH_S
    )
    loaded = {name.partition(".")[0] for name in ran.stderr.split()}
    assert "argparse" in loaded
    assert loaded & HEAVY == set()


def test_wrong_arguments(finish: Run) -> None:
    ran = finish("transcribe", "x.wav", "--fast", real=True)
    assert (ran.code, ran.out) == (2, "")
    assert ran.err == (
        "granite-mlx: unrecognized arguments: --fast (try: granite-mlx transcribe --help)\n"
    )


def test_missing_files(finish: Run, tmp_path: Path) -> None:
    ran = finish("transcribe", "a.wav", "b.wav", real=True, cwd=tmp_path)
    assert (ran.code, ran.out) == (2, "")
    assert ran.err.splitlines() == [
        "granite-mlx: a.wav: there is no such file.",
        "granite-mlx: b.wav: there is no such file.",
        "granite-mlx: 2 of 2 files failed: a.wav, b.wav",
    ]


def test_stdin_is_read_as_bytes(finish: Run) -> None:
    ran = finish("transcribe", "-", stdin="« déjà »".encode())
    assert (ran.code, ran.out, ran.err) == (0, "« déjà »\n", "")


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interruption_keeps_what_is_done_and_leaves_nothing_half_done(
    start: Run, recording: Recordings, tmp_path: Path, number: int, code: int
) -> None:
    listening, out = tmp_path / "listening", tmp_path / "out"
    files = [recording("a.wav", "one"), recording("b.wav", f"!listening {listening}")]
    with start("transcribe", *files, recording("c.wav"), "-o", out, "-f", "all") as process:
        wait_for(listening, process)
        process.send_signal(number)
        printed, said = process.communicate(timeout=ENOUGH_S)
    assert process.returncode == code
    assert (printed, said) == (b"", b"granite-mlx: interrupted; 1 of 3 files are done.\n")
    assert sorted(os.listdir(out)) == sorted(f"a.{one}" for one in FORMATS)
    assert (out / "a.txt").read_text() == "one\n"
    assert Transcript.from_json((out / "a.json").read_text()).text == "one"


def test_each_result_is_there_as_soon_as_it_is_done(
    start: Run, recording: Recordings, tmp_path: Path
) -> None:
    seen = tmp_path / "seen"
    a, b = recording("a.wav", "one"), recording("b.wav", f"!until {seen}")
    with start("transcribe", a, b) as process:
        assert [process.stdout.readline() for _ in range(2)] == [f"== {a} ==\n".encode(), b"one\n"]
        seen.touch()
        rest, _ = process.communicate(timeout=ENOUGH_S)
    assert (process.returncode, rest) == (0, f"== {b} ==\nwords\n".encode())


def test_a_reader_that_goes_away_ends_it_quietly(
    start: Run, recording: Recordings, tmp_path: Path
) -> None:
    gone = tmp_path / "gone"
    files = [recording("a.wav", "one"), recording("b.wav", f"!until {gone}"), recording("c.wav")]
    with start("transcribe", *files) as process:
        process.stdout.readline()
        process.stdout.close()
        gone.touch()
        said = process.stderr.read()
        process.wait(timeout=ENOUGH_S)
    assert (process.returncode, said) == (141, b"")


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs Linux's /dev/full")
@pytest.mark.parametrize("arguments", [["--help"], ["transcribe", "-"]])
def test_a_full_disk_is_one_line(arguments: list[str], finish: Run) -> None:
    with open("/dev/full", "wb") as full:
        ran = finish(*arguments, stdin=b"words", stdout=full)
    name = "stdin" if "-" in arguments else "stdout"
    assert (ran.code, ran.err) == (2, f"granite-mlx: {name}: No space left on device\n")


def finish_redirected(redirection: str, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run the command with a shell's redirection; only a shell starts it without a stream."""
    fake = Path(__file__).with_name("fake_speech.py")
    return subprocess.run(
        ["sh", "-c", f'"$@" {redirection}', "sh", sys.executable, fake, *arguments],
        capture_output=True,
        text=True,
        timeout=ENOUGH_S,
    )


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_closed_standard_streams_do_not_stop_it(
    closed: str, recording: Recordings, tmp_path: Path
) -> None:
    speech, out = recording("a.wav", "!warn it repeats itself."), tmp_path / "out"
    ran = finish_redirected(closed, "transcribe", speech, "missing.wav", "-o", out)
    assert ran.returncode == 1
    assert (out / "a.txt").read_text() == "words\n"
    if "2>" not in closed:
        assert [line.partition(": ")[2] for line in ran.stderr.splitlines()] == [
            "missing.wav: there is no such file.",
            f"warning: {speech}: 0.50-1.00 s: it repeats itself.",
            "1 of 2 files failed: missing.wav",
        ]


def test_what_would_go_to_a_closed_stdout_goes_nowhere(recording: Recordings) -> None:
    for arguments in (["--help"], ["transcribe", recording("a.wav")]):
        ran = finish_redirected(">&-", *arguments)
        assert (ran.returncode, ran.stderr) == (0, "")


def test_a_closed_stdin_is_an_empty_one(recording: Recordings) -> None:
    ran = finish_redirected("<&-", "transcribe", "-")
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "\n", "")


def test_an_encoding_without_accents_does_not_stop_it(
    finish: Run, recording: Recordings, tmp_path: Path
) -> None:
    ascii_only = {"PYTHONIOENCODING": "ascii"}
    speech = recording("é.wav", "« é » 👍")
    ran = finish("transcribe", speech, env=ascii_only)
    assert (ran.code, ran.out) == (0, "\\u00ab \\u00e9 \\u00bb \\ud83d\\udc4d\n")
    ran = finish("transcribe", speech, "-f", "json", env=ascii_only)
    assert json.loads(ran.out)["file"] == str(speech)
    assert Transcript.from_json(ran.out).text == "« é » 👍"
    assert finish("transcribe", speech, "-o", tmp_path / "out", env=ascii_only).code == 0
    assert (tmp_path / "out" / "é.txt").read_text(encoding="utf-8") == "« é » 👍\n"


def test_a_locale_without_accents_does_not_stop_it(
    finish: Run, recording: Recordings, tmp_path: Path
) -> None:
    c_locale = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    speech = recording("é.wav", "« é »")
    ran = finish("transcribe", speech, "é missing.wav", "-o", tmp_path / "out", env=c_locale)
    assert ran.code == 1
    assert "there is no such file" in ran.err
    assert (tmp_path / "out" / "é.txt").read_text(encoding="utf-8") == "« é »\n"


def test_progress_is_shown_on_a_terminal_only(
    start: Run, finish: Run, recording: Recordings
) -> None:
    speech = recording("a.wav", "one")
    with_terminal = {"TERM": "xterm"}
    master, terminal = pty.openpty()
    with start("transcribe", speech, "-m", "big", stderr=terminal, env=with_terminal) as process:
        printed, _ = process.communicate(timeout=ENOUGH_S)
    os.close(terminal)
    said = read_all(master)
    assert printed == b"one\n"
    shown = [line.strip() for line in said.split("\r\x1b[K") if line]
    assert shown[:3] == ["Loading big", "Downloading big: 25% (1.00 of 4.00 GB)", "Loading big"]
    assert shown[3].startswith("[1/1] ")
    assert finish("transcribe", speech, "-m", "big", env=with_terminal).err == ""


def wait_for(path: Path, process: subprocess.Popen[bytes]) -> None:
    while not path.exists():
        assert process.poll() is None, "the process ended before it got there"
        time.sleep(0.01)
