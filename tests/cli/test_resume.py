"""Stop and go on, in real processes: what is done is not done again, and nothing is half done."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from granite_mlx.transcript import FORMATS, Transcript

Run = Callable[..., Any]
Recordings = Callable[..., Path]
ENOUGH_S = 120


def entries(manifest: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in manifest.read_text(encoding="utf-8").splitlines()]


def wait_until(reached: Callable[[], bool], process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + ENOUGH_S
    while not reached():
        assert process.poll() is None, "the process ended before it got there"
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.fixture
def talks(demo_checkpoint: Path, tmp_path: Path) -> Path:
    """Twelve recordings in three folders: a has 0, 3, 6 and 9."""
    examples = sorted((demo_checkpoint / "examples").glob("*.flac"))
    for n in range(12):
        folder = tmp_path / "talks" / "abc"[n % 3]
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copy(examples[n % len(examples)], folder / f"{n}.flac")
    return tmp_path / "talks"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("number", "way"),
    [
        pytest.param(signal.SIGINT, "--manifest", marks=pytest.mark.slow),
        (signal.SIGKILL, "--manifest"),
        pytest.param(signal.SIGTERM, "--skip-existing", marks=pytest.mark.slow),
    ],
)
def test_the_demo_model_goes_on_where_it_was_stopped(
    number: int, way: str, talks: Path, start: Run, finish: Run, tmp_path: Path
) -> None:
    out, manifest, slow = tmp_path / "out", tmp_path / "manifest.jsonl", tmp_path / "slow.flac"
    os.mkfifo(slow)  # a recording that does not come to its end
    known = [way, manifest] if way == "--manifest" else [way]
    files = ["-r", talks / "a", slow, talks / "b"]
    command = ["transcribe", "-m", "demo", *files, "-f", "all", "-o", out, *known]
    with start(*command, real=True) as process:
        wait_until(lambda: len(list(out.glob("*.json"))) == 4, process)
        if way == "--manifest":
            wait_until(lambda: len(entries(manifest)) == 4, process)
        process.send_signal(number)
        _, said = process.communicate(timeout=ENOUGH_S)
    if number == signal.SIGKILL:
        assert process.returncode == -number
    else:
        assert process.returncode == 128 + number
        assert said == b"granite-mlx: interrupted; 4 of 9 files are done.\n"

    def state() -> dict[str, int]:
        return {path.name: path.stat().st_mtime_ns for path in out.iterdir()}

    first = state()
    assert sorted(first) == sorted(f"{n}.{ext}" for n in (0, 3, 6, 9) for ext in FORMATS)
    for path in out.glob("*.json"):
        assert Transcript.from_json(path.read_text(encoding="utf-8")).text

    slow.unlink()
    shutil.copy(talks / "c" / "2.flac", slow)
    ran = finish(*command, real=True)
    assert (ran.code, ran.out, ran.err) == (0, "", "")
    then = state()
    assert {name: then[name] for name in first} == first
    stems = ["0", "3", "6", "9", "slow", "1", "4", "7", "10"]
    assert sorted(then) == sorted(f"{stem}.{ext}" for stem in stems for ext in FORMATS)
    if way == "--manifest":
        assert [Path(entry["input"]).stem for entry in entries(manifest)] == [
            *("0", "3", "6", "9"), "slow", *("1", "10", "4", "7")
        ]  # fmt: skip
        assert {entry["status"] for entry in entries(manifest)} == {"done"}

    # A third run has nothing to do.
    ran = finish(*command, real=True)
    assert (ran.code, ran.out, ran.err, state()) == (0, "", "", then)


@pytest.mark.slow
def test_batches_of_the_demo_model_write_what_single_recordings_do(
    talks: Path, finish: Run, tmp_path: Path
) -> None:
    command = ["transcribe", "-m", "demo", "-r", talks, "-o"]
    assert finish(*command, tmp_path / "1", real=True).code == 0
    ran = finish(*command, tmp_path / "5", "--batch-size", "5", real=True)
    assert (ran.code, ran.err) == (0, "")
    texts = [
        {path.relative_to(out): path.read_text() for path in out.rglob("*.txt")}
        for out in (tmp_path / "1", tmp_path / "5")
    ]
    assert len(texts[0]) == 12
    assert texts[0] == texts[1]


def test_a_crash_between_two_formats_is_made_good(
    run: Run, model: Any, recording: Recordings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, save = tmp_path / "out", Transcript.save

    def save_one(transcript: Transcript, path: Path, subtitles: Any = None) -> None:
        if path.suffix == ".json":
            raise KeyboardInterrupt
        save(transcript, path, subtitles)

    command = ["transcribe", recording("a.wav", "one"), "-f", "all", "-o", out]
    with monkeypatch.context() as patch:
        patch.setattr(Transcript, "save", save_one)
        assert run(*command, "--skip-existing", "--manifest", tmp_path / "m").code == 130
    assert sorted(os.listdir(out)) == sorted(f"a.{one}" for one in FORMATS if one != "json")
    assert run(*command, "--skip-existing", "--manifest", tmp_path / "m").code == 0
    assert sorted(os.listdir(out)) == sorted(f"a.{one}" for one in FORMATS)
    assert len(model.calls) == 2


def limited(n_kilobytes: int, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run the command where no file may be larger: the next byte is refused, as on a full disk."""
    fake = Path(__file__).with_name("fake_speech.py")
    limit = f'ulimit -f {2 * n_kilobytes}; exec "$@"'  # in blocks of 512 bytes
    return subprocess.run(
        ["sh", "-c", limit, "sh", sys.executable, fake, *arguments],
        capture_output=True,
        text=True,
        timeout=ENOUGH_S,
    )


def test_a_disk_that_is_full_leaves_no_half_output(recording: Recordings, tmp_path: Path) -> None:
    big, small = recording("big.wav", "x" * 9000), recording("small.wav", "words")
    out, manifest = tmp_path / "out", tmp_path / "m.jsonl"
    ran = limited(4, "transcribe", big, small, "-o", out, "--manifest", manifest)
    assert ran.returncode == 1
    assert ran.stderr.splitlines() == [
        f"granite-mlx: {big}: {out}/big.txt: File too large",
        f"granite-mlx: 1 of 2 files failed: {big}",
    ]
    assert {path.name: path.read_text() for path in out.iterdir()} == {"small.txt": "words\n"}
    assert [entry["status"] for entry in entries(manifest)] == ["failed", "done"]


def test_a_manifest_that_cannot_grow_stops_the_run_and_the_next_one_goes_on(
    finish: Run, recording: Recordings, tmp_path: Path
) -> None:
    files = [recording(f"{n:02}.wav", f"{n}") for n in range(40)]
    out, manifest = tmp_path / "out", tmp_path / "m.jsonl"
    command = ["transcribe", *files, "-o", out, "--manifest", manifest]
    ran = limited(4, *command)
    assert ran.returncode == 1
    assert (
        ran.stderr == (f"granite-mlx: --manifest {manifest}: the disk is full; stopped.\n")
        or ran.stderr == f"granite-mlx: --manifest {manifest}: File too large; stopped.\n"
    )
    assert manifest.stat().st_size <= 4096
    n_done = len(os.listdir(out))
    assert 1 < n_done < 40
    assert finish(*command).code == 0
    assert len(os.listdir(out)) == 40
    lines = manifest.read_text().splitlines()
    done = [json.loads(line)["input"] for line in lines if line.endswith("}")]
    assert sorted(done) == sorted(map(str, files))
