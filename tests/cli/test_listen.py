"""`granite-mlx listen`: the demo checkpoint, a recording, and a microphone with a script."""

import json
import os
import pty
import signal
import subprocess
import sys
import time
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from granite_mlx.cli import main
from granite_mlx.cli.live_text import LiveText
from granite_mlx.cli.screen import ERASE_LINE, last_that_fits
from granite_mlx.errors import RecognitionError
from granite_mlx.live.events import Draft, Final, TurnDone
from granite_mlx.live.session import LiveSession
from granite_mlx.live.turns import Turns
from granite_mlx.transcript import FORMATS, Segment, Transcript

from .terminals import read_all

Run = Callable[..., Any]
ENGLISH = "yesterday the neighbour found a small horse at home"
ENOUGH_S = 60


@pytest.fixture
def english(demo_checkpoint: Path) -> Path:
    return demo_checkpoint / "examples" / "english.flac"


@pytest.fixture
def two_turns(demo_checkpoint: Path, tmp_path: Path) -> Path:
    """A sentence, a pause of a second, another one."""
    parts = []
    for name in ("english", "french"):
        samples, _ = soundfile.read(demo_checkpoint / "examples" / f"{name}.flac", dtype="float32")
        parts += [samples, np.zeros(16_000, np.float32)]
    path = tmp_path / "talk.wav"
    soundfile.write(path, np.concatenate(parts), 16_000)
    return path


def test_a_pipe_gets_final_lines_alone(finish: Run, two_turns: Path) -> None:
    ran = finish("listen", "-m", "demo", "--from-file", two_turns, "--speed", "8", real=True)
    assert (ran.code, ran.err) == (0, "")
    assert ran.out.splitlines() == [
        ENGLISH,
        "à onze heures il y a vingt neuf couteaux sur la plage",
    ]


def test_keywords_and_their_boost_reach_the_model(run: Run, model: Any, english: Path) -> None:
    def live(**options: Any) -> Any:
        model.calls.append(options)
        raise RecognitionError("that is enough.")

    model.live = live
    ran = run("listen", "--from-file", english, "-k", "Erik", "--keyword-boost", "2.5")
    assert (ran.code, ran.err) == (2, "granite-mlx: that is enough.\n")
    (call,) = model.calls
    assert (call["keywords"], call["keyword_boost"]) == (["Erik"], 2.5)
    ran = run("listen", "--from-file", english, "--keyword-boost", "2.5")
    assert ran.code == 2
    assert "--keyword-boost has no keywords to raise" in ran.err


@pytest.mark.slow
def test_it_is_played_at_real_speed(finish: Run, english: Path) -> None:
    begun_s = time.monotonic()
    ran = finish("listen", "-m", "demo", "--from-file", english, real=True)
    assert ran.out == f"{ENGLISH}\n"
    assert time.monotonic() - begun_s > soundfile.info(english).duration


def test_it_is_saved_in_every_format(finish: Run, english: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    options = ["--from-file", english, "--speed", "8", "-o", out, "-f", "all"]
    ran = finish("listen", "-m", "demo", *options, real=True)
    assert ran.code == 0
    assert sorted(os.listdir(out)) == sorted(f"english.{one}" for one in FORMATS)
    transcript = Transcript.from_json((out / "english.json").read_text())
    assert transcript.text == ENGLISH
    assert len(transcript.words) == len(ENGLISH.split())


def test_json_on_stdout_is_one_line(finish: Run, english: Path) -> None:
    options = ["--from-file", english, "--speed", "8", "-f", "json", "--to", "fr"]
    ran = finish("listen", "-m", "demo", *options, "--language", "en", real=True)
    record = json.loads(ran.out)
    assert (record["target_language"], record["language"]) == ("fr", "en")
    assert record["text"]
    assert ran.err == ""


@pytest.mark.slow
def test_a_terminal_shows_drafts_and_takes_them_back(english: Path) -> None:
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "granite_mlx", "listen", "-m", "demo"]
    command += ["--from-file", str(english), "--speed", "1"]
    environment = {**os.environ, "TERM": "xterm", "NO_COLOR": ""}
    with subprocess.Popen(command, stdout=theirs, stderr=subprocess.PIPE, env=environment) as ran:
        os.close(theirs)
        shown = read_all(ours)
        assert ran.wait(ENOUGH_S) == 0
    assert "\x1b[2myesterday" in shown
    assert shown.count(ERASE_LINE) >= 2
    assert shown.replace("\r\n", "\n").endswith(f"{ERASE_LINE}{ENGLISH}\n")


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interruption_keeps_what_was_said(
    start: Run, two_turns: Path, tmp_path: Path, number: int, code: int
) -> None:
    out = tmp_path / "out"
    options = ["--from-file", two_turns, "-o", out, "-f", "json"]
    with start("listen", "-m", "demo", *options, real=True) as process:
        assert process.stdout.readline().decode() == f"{ENGLISH}\n"
        process.send_signal(number)
        _, said = process.communicate(timeout=ENOUGH_S)
    assert process.returncode == code
    assert said.decode().endswith("interrupted; what was said so far is kept.\n")
    transcript = Transcript.from_json((out / "talk.json").read_text())
    assert transcript.segments[0].text == ENGLISH


def test_more_of_ctrl_c_keep_what_is_final(
    microphone: "FakeSounddevice", tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A second one ends the wait for the last text, and a third one nothing at all."""
    written, ended, kept, n_times = LiveText._write, LiveText.end, LiveSession.kept, []

    def interrupting(self: LiveText, final: Final) -> None:
        written(self, final)
        signal.raise_signal(signal.SIGINT)

    def impatient(self: LiveText) -> None:
        ended(self)
        n_times.append(1)
        if len(n_times) == 1:
            signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(LiveText, "_write", interrupting)

    def more_impatient(self: LiveSession) -> Transcript:
        signal.raise_signal(signal.SIGINT)
        return kept(self)

    monkeypatch.setattr(LiveText, "end", impatient)
    monkeypatch.setattr(LiveSession, "kept", more_impatient)
    assert main(["listen", "-m", "demo", "-o", str(tmp_path), "-f", "txt"]) == 130
    (saved,) = tmp_path.iterdir()
    assert saved.read_text() == f"{ENGLISH}\n"


@pytest.mark.slow
def test_a_session_that_fails_keeps_what_is_final(
    two_turns: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    drafted, written = Turns.draft, LiveText._write
    shown: list[int] = []
    monkeypatch.setattr(LiveText, "_write", lambda *all_: (written(*all_), shown.append(1)))

    def fail(self: Turns) -> Any:
        if shown:
            raise MemoryError
        return drafted(self)

    monkeypatch.setattr(Turns, "draft", fail)
    options = ["--from-file", str(two_turns), "-o", str(tmp_path / "out")]
    assert main(["listen", "-m", "demo", *options]) == 1
    assert capsys.readouterr().err == "granite-mlx: there is not enough memory.\n"
    assert (tmp_path / "out" / "talk.txt").read_text() == f"{ENGLISH}\n"


@pytest.mark.slow
def test_stdout_that_is_closed_keeps_what_is_final(
    start: Run, two_turns: Path, tmp_path: Path
) -> None:
    options = ["--from-file", two_turns, "-o", tmp_path / "out"]
    with start("listen", "-m", "demo", *options, real=True) as process:
        assert process.stdout.readline().decode() == f"{ENGLISH}\n"
        process.stdout.close()
        said = process.stderr.read()
        assert process.wait(ENOUGH_S) == 141
    assert said == b""
    assert (tmp_path / "out" / "talk.txt").read_text().startswith(ENGLISH)


def test_stdin_is_played(finish: Run, english: Path) -> None:
    options = ["-m", "demo", "--from-file", "-", "--speed", "8"]
    assert finish("listen", *options, stdin=english.read_bytes(), real=True).out == f"{ENGLISH}\n"


# What is wrong is told before a model is loaded


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--from-file", "none.wav"], "none.wav: there is no such file"),
        (["--from-file", "/"], "/ is a folder; name a recording in it"),
        (["--from-file", "x.wav", "--speed", "0"], "0 is not a number above 0"),
        (["--speed", "2"], "--speed is for --from-file"),
        (["--from-file", "x.wav", "--device", "1"], "give one"),
        (["--to", "fr", "--language", "de"], "German"),
        (["-f", "all", "--from-file", "x.wav"], "needs -o"),
        (["--max-line-width", "20"], "for subtitles"),
    ],
)
def test_wrong_arguments(run: Run, model: Any, arguments: list[str], message: str) -> None:
    ran = run("listen", *arguments)
    assert ran.code == 2
    assert message in ran.err
    assert len(ran.err.splitlines()) == 1
    assert model.loaded == []


def test_what_is_no_recording(run: Run, model: Any, tmp_path: Path) -> None:
    path = tmp_path / "notes.wav"
    path.write_text("not a recording")
    ran = run("listen", "--from-file", path)
    assert (ran.code, model.loaded) == (2, [])
    assert "notes.wav" in ran.err


# The microphone


class FakeSounddevice(types.ModuleType):
    """What `sounddevice` is to a program: a microphone that plays a recording and is pulled out."""

    class PortAudioError(Exception):
        """As sounddevice's."""

    def __init__(self, samples: np.ndarray, rate: int) -> None:
        super().__init__("sounddevice")
        self.samples, self.rate = samples, rate
        self.default = types.SimpleNamespace(device=(1, 0))
        self.opened: list[dict[str, Any]] = []

    def query_devices(self, device: Any = None, kind: str | None = None) -> Any:
        devices = [
            {"name": "Speakers", "max_input_channels": 0, "default_samplerate": 48_000.0},
            {"name": "Desk\x1b mic", "max_input_channels": 2, "default_samplerate": self.rate},
        ]
        if kind is None:
            return devices
        if device not in (None, 1, "Desk"):
            raise ValueError(f"No input device matching {device!r}")
        return devices[1]

    def RawInputStream(self, **options: Any) -> Any:  # noqa: N802
        self.opened.append(options)
        return FakeStream(self, options)


class FakeStream:
    def __init__(self, module: FakeSounddevice, options: dict[str, Any]) -> None:
        self._module, self._options, self.active = module, options, True

    def __enter__(self) -> "FakeStream":
        size, status = self._options["blocksize"], types.SimpleNamespace(input_overflow=False)
        for start in range(0, len(self._module.samples), size):
            data = self._module.samples[start : start + size].tobytes()
            self._options["callback"](memoryview(data), size, None, status)
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        self.active = False


@pytest.fixture
def microphone(demo_checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> FakeSounddevice:
    """One that has the English sentence to tell, at 44.1 kHz."""
    import soxr

    samples, rate = soundfile.read(demo_checkpoint / "examples" / "english.flac", dtype="float32")
    samples = np.concatenate([soxr.resample(samples, rate, 44_100), np.zeros(44_100)])
    module = FakeSounddevice((samples * 32767).astype(np.int16), 44_100)
    monkeypatch.setitem(sys.modules, "sounddevice", module)
    return module


def test_the_microphone_is_heard_until_ctrl_c(
    microphone: FakeSounddevice, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C comes once the sentence is on the screen."""
    written = LiveText._write

    def interrupting(self: LiveText, final: Final) -> None:
        written(self, final)
        signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(LiveText, "_write", interrupting)
    code = main(["listen", "-m", "demo", "--device", "1"])
    captured = capsys.readouterr()
    assert (code, captured.out) == (130, f"{ENGLISH}\n")
    assert microphone.opened[0]["samplerate"] == 44_100


def test_devices_are_listed(microphone: FakeSounddevice, run: Run) -> None:
    ran = run("listen", "--list-devices")
    assert (ran.code, ran.out) == (0, "1: Desk\\x1b mic, 44100 Hz (default)\n")


def test_a_device_that_is_not_there(microphone: FakeSounddevice, run: Run, model: Any) -> None:
    ran = run("listen", "--device", "Moon")
    assert (ran.code, model.loaded) == (2, [])
    assert "the microphone Moon cannot be opened" in ran.err


@pytest.mark.parametrize(
    ("error", "message"),
    [(ImportError, "pip install 'granite-mlx[mic]'"), (OSError, "libportaudio2")],
)
def test_what_the_microphone_needs_is_told(
    run: Run, monkeypatch: pytest.MonkeyPatch, error: type[Exception], message: str
) -> None:
    class Missing:
        def find_spec(self, name: str, path: Any = None, target: Any = None) -> None:
            if name == "sounddevice":
                raise error("PortAudio library not found")

    monkeypatch.delitem(sys.modules, "sounddevice", raising=False)
    monkeypatch.setattr(sys, "meta_path", [Missing(), *sys.meta_path])
    ran = run("listen")
    assert ran.code == 2
    assert message in ran.err


# What is shown


class Terminal:
    """A stream that says it is one."""

    def __init__(self) -> None:
        self.text = ""

    def isatty(self) -> bool:
        return True

    def fileno(self) -> int:
        raise OSError

    def write(self, text: str) -> None:
        self.text += text

    def flush(self) -> None:
        pass


def test_finals_replace_drafts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("NO_COLOR", "1")
    terminal = Terminal()
    text = LiveText(terminal)
    text.show([Draft(0, "one"), Draft(1, "three")])
    assert terminal.text.endswith(f"{ERASE_LINE}one three")
    text.show([Final(0, 0.0, 1.0, (Segment(0.0, 1.0, "one two"),)), TurnDone(0)])
    assert f"{ERASE_LINE}one two\n" in terminal.text
    assert terminal.text.endswith("three")
    text.end()
    assert terminal.text.endswith(ERASE_LINE)


def test_a_long_draft_shows_its_end() -> None:
    assert last_that_fits("one two three", 20) == "one two three"
    assert last_that_fits("one two three", 6) == "…three"
    assert last_that_fits("日本語です", 5) == "…です"
    assert last_that_fits("一\x1b", 20) == "一\x1b"
