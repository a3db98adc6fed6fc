"""The demo checkpoint through the real command line and Python API: from a file to its words."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from itertools import product
from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr

import granite_mlx
from granite_mlx.transcript import Transcript

ENOUGH_S = 120  # for a process on a busy machine; nothing waits that long if all is well


def run(*arguments, stdin=None, cwd=None):
    """`granite-mlx` in a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "granite_mlx", *map(str, arguments)],
        input=stdin,
        capture_output=True,
        cwd=cwd,
        timeout=ENOUGH_S,
    )


def one_sentence(stderr: bytes, name: str) -> str:
    """stderr, which has to be one line about `name`."""
    text = stderr.decode()
    assert text.count("\n") == 1, text
    assert text.startswith("granite-mlx: "), text
    assert name in text, text
    assert "Traceback" not in text
    return text


@pytest.fixture(scope="module")
def examples(demo_checkpoint: Path) -> dict[Path, str]:
    """The packaged recordings and what is said in them."""
    found = {p: p.with_suffix(".txt").read_text().strip()
             for p in sorted(demo_checkpoint.glob("examples/*.flac"))}  # fmt: skip
    assert len(found) >= 2
    return found


@pytest.fixture(scope="module")
def digits(demo_checkpoint: Path) -> Path:
    return demo_checkpoint / "examples" / "digits.flac"


@pytest.fixture(scope="module")
def said(digits: Path) -> str:
    """What is said in `digits`."""
    return digits.with_suffix(".txt").read_text().strip()


# The main job


def test_every_example_is_written_down_right(examples: dict[Path, str]) -> None:
    ran = run("transcribe", "-m", "demo", "-f", "json", *examples)
    assert ran.returncode == 0, ran.stderr
    lines = [json.loads(line) for line in ran.stdout.decode().splitlines()]
    assert {Path(line["file"]): line["text"] for line in lines} == examples


def test_a_single_text_is_all_of_stdout(digits: Path, said: str) -> None:
    ran = run("transcribe", "-m", "demo", digits)
    assert (ran.returncode, ran.stdout.decode(), ran.stderr) == (0, said + "\n", b"")


def test_stdin(digits: Path, said: str) -> None:
    ran = run("transcribe", "-m", "demo", "-", stdin=digits.read_bytes())
    assert (ran.returncode, ran.stdout.decode()) == (0, said + "\n")


def test_files_in_a_folder(examples: dict[Path, str], tmp_path: Path) -> None:
    ran = run("transcribe", "-m", "demo", *examples, "-f", "all", "-o", tmp_path / "out")
    assert (ran.returncode, ran.stdout) == (0, b"")
    for recording, text in examples.items():
        written = tmp_path / "out" / recording.stem
        assert written.with_suffix(".txt").read_text() == text + "\n"
        transcript = Transcript.from_json(written.with_suffix(".json").read_text())
        assert (transcript.text, transcript.model) == (text, "demo")
        for suffix, subtitles in (
            ("srt", transcript.to_srt()),
            ("vtt", transcript.to_vtt()),
            ("tsv", transcript.to_tsv()),
        ):
            assert written.with_suffix(f".{suffix}").read_text() == subtitles + "\n"
    assert len(list((tmp_path / "out").iterdir())) == 5 * len(examples)


def test_subtitles(digits: Path, said: str) -> None:
    """All words in order, two a cue, within the recording."""
    options = "-f srt --max-words-per-line 2 --max-line-count 1".split()
    ran = run("transcribe", "-m", "demo", digits, *options)
    assert (ran.returncode, ran.stderr) == (0, b"")
    blocks = ran.stdout.decode().removesuffix("\n").split("\n\n")
    numbers, times, lines = zip(*(block.split("\n") for block in blocks), strict=True)
    assert numbers == tuple(str(i + 1) for i in range(len(blocks)))
    assert " ".join(lines) == said
    assert {len(line.split()) for line in lines} <= {1, 2}
    marks = [mark for time in times for mark in time.split(" --> ")]
    assert marks == sorted(marks)
    end_s = soundfile.info(digits).duration
    assert "00:00:00,000" <= marks[0] < marks[-1] <= f"00:00:{end_s:06.3f}".replace(".", ",")


def test_a_part(digits: Path, said: str) -> None:
    """The first half of the recording gives the first of its words."""
    with granite_mlx.load("demo") as model:
        whole = model.transcribe(digits)
        part = model.transcribe(digits, end_s=whole.duration_s / 2)
    assert part.duration_s == pytest.approx(whole.duration_s / 2, abs=0.01)
    assert 0 < len(part.text.split()) < len(said.split())


@pytest.mark.parametrize("suffix", ["wav", "ogg", "aiff"])
def test_other_formats_rates_and_channels(
    digits: Path, said: str, tmp_path: Path, suffix: str
) -> None:
    samples, rate = soundfile.read(digits)
    faster = soxr.resample(samples, rate, 48_000)
    soundfile.write(tmp_path / f"digits.{suffix}", np.stack([faster, faster], axis=1), 48_000)
    ran = run("transcribe", "-m", "demo", tmp_path / f"digits.{suffix}")
    assert ran.stdout.decode() == said + "\n"


def test_translation(digits: Path) -> None:
    ran = run("translate", "-m", "demo", "--to", "fr", "-f", "json", digits)
    assert ran.returncode == 0, ran.stderr
    result = json.loads(ran.stdout)
    assert (result["task"], result["target_language"]) == ("translate", "fr")
    assert result["text"]


def test_an_m4a_as_a_mac_records_it(data_dir: Path) -> None:
    """The demo checkpoint does not know these words; they have to arrive at it all the same."""
    with granite_mlx.load("demo") as model:
        transcript = model.transcribe(data_dir / "jfk_44k.m4a", max_new_tokens=20)
    assert transcript.duration_s == pytest.approx(11.0, abs=0.1)
    assert transcript.text


# What is not speech, or no recording


def test_silence_has_no_words(tmp_path: Path) -> None:
    kinds = list(product((8_000, 16_000, 192_000), (1, 8)))
    recordings = [tmp_path / f"{rate}-{n_channels}.wav" for rate, n_channels in kinds]
    for recording, (rate, n_channels) in zip(recordings, kinds, strict=True):
        soundfile.write(recording, np.zeros((2 * rate, n_channels)), rate)
    ran = run("transcribe", "-m", "demo", *recordings, "-o", tmp_path / "out")
    assert (ran.returncode, ran.stdout) == (0, b"")
    told = ran.stderr.decode().splitlines()
    for recording in recordings:
        assert (tmp_path / "out" / f"{recording.stem}.txt").read_text() == "\n"
        assert any(recording.name in line and "silent" in line for line in told), recording


def test_a_millisecond(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "short.wav", np.full(16, 0.5), 16_000)
    ran = run("transcribe", "-m", "demo", tmp_path / "short.wav")
    assert (ran.returncode, ran.stdout) == (0, b"\n")
    assert b"too short" in ran.stderr


def make_bad(folder: Path, digits: Path) -> dict[str, str]:
    """Bad inputs, and a word of what has to be said about each."""
    (folder / "folder.wav").mkdir()
    (folder / "empty.wav").write_bytes(b"")
    (folder / "text.wav").write_text("These are minutes, and no recording of them.\n" * 50)
    (folder / "cut.flac").write_bytes(digits.read_bytes()[:20_000])
    soundfile.write(folder / "nothing.wav", np.zeros(0), 16_000)
    nan = np.zeros(16_000, np.float32)
    nan[8_000] = np.nan
    soundfile.write(folder / "nan.wav", nan, 16_000, subtype="FLOAT")
    soundfile.write(folder / "infinite.wav", nan + np.inf, 16_000, subtype="FLOAT")
    return {
        "missing.wav": "no such file",
        "folder.wav": "folder",
        "empty.wav": "empty",
        "text.wav": "cannot be read as audio",
        "cut.flac": "damaged",
        "nothing.wav": "no samples",
        "nan.wav": "0.500 s",
        "infinite.wav": "0.000 s",
    }


def test_a_bad_recording_alone_gets_one_sentence(digits: Path, tmp_path: Path) -> None:
    bad = make_bad(tmp_path, digits)
    for name in ("missing.wav", "cut.flac"):  # each is found at another stage
        ran = run("transcribe", "-m", "demo", tmp_path / name)
        assert (ran.returncode, ran.stdout) == (2, b""), name
        assert bad[name] in one_sentence(ran.stderr, name), name


def test_bad_recordings_do_not_stop_the_others(digits: Path, said: str, tmp_path: Path) -> None:
    bad = make_bad(tmp_path, digits)
    ran = run("transcribe", "-m", "demo", *(tmp_path / name for name in bad), digits,
              "-o", tmp_path / "out")  # fmt: skip
    assert ran.returncode == 1
    assert [p.name for p in (tmp_path / "out").iterdir()] == ["digits.txt"]
    assert (tmp_path / "out" / "digits.txt").read_text() == said + "\n"
    *told, summary = ran.stderr.decode().splitlines()
    for name, word in bad.items():
        (line,) = (line for line in told if name in line)
        assert line.startswith("granite-mlx: ")
        assert word in line
        assert name in summary
    assert len(told) == len(bad)


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["transcribe", "--language", "klingon"], "klingon"),
        (["transcribe", "-k", " "], "empty"),
        (["transcribe", "-k", "a,b"], "comma"),
        (["transcribe", "--keywords-file", "no-such-file"], "no-such-file"),
        (["translate", "--to", "elvish"], "elvish"),
        (["translate", "--language", "fr", "--to", "de"], "English"),
        (["translate", "--language", "en", "--to", "en"], "transcribe"),
        (["transcribe", "--start", "2", "--end", "1"], "end"),
        (["transcribe", "-m", "no/such/model"], "no/such/model"),
        (["transcribe", "--temperature", "-1"], "temperature"),
    ],
)
def test_bad_options_get_one_sentence(digits: Path, arguments: list[str], word: str) -> None:
    ran = run(*arguments[:1], "-m", "demo", *arguments[1:], digits)
    assert (ran.returncode, ran.stdout) == (2, b"")
    one_sentence(ran.stderr, word)


@pytest.mark.slow
def test_ctrl_c_in_the_middle_keeps_what_is_done(digits: Path, said: str, tmp_path: Path) -> None:
    copies = [tmp_path / f"{i:03}.flac" for i in range(300)]
    for copy in copies:
        copy.symlink_to(digits)
    out = tmp_path / "out"
    process = subprocess.Popen(
        [sys.executable, "-m", "granite_mlx", "transcribe", "-m", "demo", *copies, "-o", out],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        # A shell starts background jobs with SIGINT ignored, which a child would inherit.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    deadline = time.monotonic() + ENOUGH_S
    while not (out / "001.txt").exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=ENOUGH_S)
    assert process.returncode == 130, stderr
    done = sorted(out.iterdir())
    assert 2 <= len(done) < len(copies)
    assert {p.suffix for p in done} == {".txt"}
    assert all(p.read_text() == said + "\n" for p in done)
    assert str(len(done)) in stderr.decode()


# The Python API


def test_any_thread_may_ask(examples: dict[Path, str]) -> None:
    texts: dict[Path, str] = {}
    with granite_mlx.load("demo") as model:

        def ask(recording: Path) -> None:
            texts[recording] = model.transcribe(recording).text

        threads = [threading.Thread(target=ask, args=[recording]) for recording in examples]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(ENOUGH_S)
    assert texts == examples


def test_nothing_heavier_than_needed_is_imported(digits: Path) -> None:
    code = (
        "import sys, granite_mlx; granite_mlx.load('demo').transcribe(sys.argv[1]); "
        "print(*{m.partition('.')[0] for m in sys.modules})"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code, digits], capture_output=True, text=True, timeout=ENOUGH_S,
        env={**os.environ, "HF_HUB_OFFLINE": "1"}, check=True,
    )  # fmt: skip
    assert "mlx" in ran.stdout.split()
    assert {"torch", "transformers", "mlx_audio", "mlx_lm"}.isdisjoint(ran.stdout.split())
