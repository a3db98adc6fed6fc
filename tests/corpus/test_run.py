"""The command with an engine in this process: what is done, set aside and named, and the codes."""

import dataclasses
import json
import os
import re
import shutil
import socket
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from granite_mlx.cli import corpus, main
from granite_mlx.cli.failures import UsageError
from granite_mlx.cli.model import load_granite_speech
from granite_mlx.cli.parser import parse
from granite_mlx.cli.screen import Screen
from granite_mlx.corpus.errors import CorpusError
from granite_mlx.corpus.items import Outcome, Task
from granite_mlx.corpus.joining import (
    MODE,
    PREFACE,
    TOKEN,
    TOKEN_PATH,
    check_that_it_answers,
    prepare,
    refusal,
)
from granite_mlx.corpus.shards import FORMATS
from granite_mlx.corpus.store import rows_in
from granite_mlx.evaluate.manifests import read_manifest
from granite_mlx.evaluate.others import read_other_runs

Run = Callable[..., int]


@pytest.fixture
def folder(tmp_path: Path, demo_checkpoint: Path, short_recordings: ModuleType) -> Path:
    short_recordings.make(demo_checkpoint / "examples", tmp_path / "in", 6)
    return tmp_path / "in"


@pytest.fixture
def engine(archives: ModuleType) -> Any:
    return archives.Engine(lambda task: archives.outcome(task.sha256))


@pytest.fixture
def run(engine: Any) -> Run:
    def run(*words: str | Path) -> int:
        arguments = parse(["corpus", *map(str, words)])
        screen = Screen(sys.stdout, sys.stderr)
        return corpus.run(arguments, screen, load_granite_speech, engine.start)

    return run


def names(out: Path) -> list[str]:
    return sorted(Path(row["id"]).name for row in rows_in(out))


def failed(out: Path) -> dict[str, str]:
    lines = (out / "failed.jsonl").read_text().splitlines()
    return {Path(one["input"]).name: one["error"] for one in map(json.loads, lines)}


def test_a_folder_is_done_once_and_no_more(
    run: Run, engine: Any, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert run("-r", folder, "-o", out) == 0
    assert names(out) == [f"{n:04d}.wav" for n in range(6)]
    assert "6 files, 0.00 h of audio in" in capsys.readouterr().err
    engine.heard.clear()
    assert run("-r", folder, "-o", out) == 0
    assert engine.heard == []
    assert "6 of 6 files are done already." in capsys.readouterr().err


def test_one_content_under_two_names_is_heard_once_and_named_twice(
    run: Run, engine: Any, folder: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    shutil.copy(folder / "0003.wav", folder / "copy.wav")
    assert run("-r", folder, "-o", out) == 0
    assert len(engine.heard) == 6
    shutil.copy(folder / "0001.wav", folder / "later.wav")
    engine.heard.clear()
    assert run("-r", folder, "-o", out) == 0
    assert engine.heard == []
    rows = {Path(row["id"]).name: row for row in rows_in(out)}
    assert len(rows) == 8
    assert rows["copy.wav"]["sha256"] == rows["0003.wav"]["sha256"]
    assert rows["later.wav"]["transcript"] == rows["0001.wav"]["transcript"]


def test_bad_files_are_set_aside_and_tried_again(
    run: Run, folder: Path, tmp_path: Path, demo_checkpoint: Path
) -> None:
    out = tmp_path / "out"
    (folder / "bad.wav").write_bytes(b"no sound")
    assert run("-r", folder, folder / "none.wav", "-o", out) == 1
    assert failed(out).keys() == {"bad.wav", "none.wav"}
    assert failed(out)["none.wav"] == "there is no such file."
    shutil.copy(demo_checkpoint / "examples" / "digits.flac", folder / "bad.wav")
    shutil.copy(folder / "bad.wav", folder / "none.wav")
    assert run(out / "failed.jsonl", "-o", out) == 0  # what was set aside, by its own list
    assert not (out / "failed.jsonl").exists()
    assert len(names(out)) == 8


def test_a_lot_whose_workers_are_lost_is_tried_one_by_one(
    run: Run, engine: Any, archives: ModuleType, folder: Path, tmp_path: Path
) -> None:
    engine.answer = lambda task: (
        None if task.audio.endswith("2.wav") else archives.outcome(task.sha256)
    )
    engine.n_workers = 1
    assert run("-r", folder, "-o", tmp_path / "out") == 1
    assert sorted(engine.heard) == [f"{n:04d}.wav" for n in (0, 1, 3, 4, 5)]
    assert "its worker was lost each time" in failed(tmp_path / "out")["0002.wav"]


def test_what_every_recording_would_meet_stops_the_work(
    run: Run, engine: Any, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    engine.answer = lambda task: Outcome(
        task.sha256, "a:1", error="there is no such model.", is_obstacle=True
    )
    assert run("-r", folder, "-o", tmp_path / "out") == 2
    assert "granite-mlx: there is no such model.\n" in capsys.readouterr().err
    assert not (tmp_path / "out" / "failed.jsonl").exists()


def test_ctrl_c_loses_nothing(
    run: Run, engine: Any, archives: ModuleType, folder: Path, tmp_path: Path
) -> None:
    def interrupted(task: Task) -> Outcome:
        if len(engine.heard) == 4:
            raise KeyboardInterrupt
        return archives.outcome(task.sha256)

    engine.answer = interrupted
    assert run("-r", folder, "-o", tmp_path / "out") == 130
    assert len(names(tmp_path / "out")) == 4
    engine.answer = lambda task: archives.outcome(task.sha256)
    assert run("-r", folder, "-o", tmp_path / "out") == 0
    assert sorted(engine.heard) == [f"{n:04d}.wav" for n in range(6)]


def test_parts_share_the_work_and_merge(
    run: Run, engine: Any, folder: Path, tmp_path: Path
) -> None:
    (folder / "bad.wav").write_bytes(b"no sound")
    parts = [tmp_path / "1", tmp_path / "2"]
    codes = [run("-r", folder, "-o", out, "--part", f"{out.name}/2") for out in parts]
    assert sorted(engine.heard) == [f"{n:04d}.wav" for n in range(6)]
    assert sorted(codes) == [0, 1]
    assert run("--merge", *parts, "-o", tmp_path / "all") == 1
    assert len(names(tmp_path / "all")) == 6
    assert failed(tmp_path / "all").keys() == {"bad.wav"}


def test_a_manifest_goes_in_and_eval_reads_what_comes_out(
    run: Run, folder: Path, tmp_path: Path
) -> None:
    manifest = folder / "talks.jsonl"
    lines = [
        {"id": "first", "audio": "0000.wav", "text": "yes", "language": "fr"},
        {"audio": "0001.wav", "text": "no", "keywords": ["Siobhan"]},
    ]
    manifest.write_text("".join(json.dumps(line) + "\n" for line in lines))
    out = tmp_path / "out"
    assert run(manifest, "-o", out) == 0
    shard = out / "shard-00001.jsonl"
    rows, _ = read_manifest(manifest)
    (compared,) = read_other_runs(shard, rows)
    assert {key: one.hypothesis for key, one in compared.answers.items()} == {
        "first": "yes",
        "0001.wav": "yes",
    }
    assert {row["id"]: row["reference"] for row in rows_in(out)} == {
        "first": "yes",
        "0001.wav": "no",
    }
    assert run(shard, "-o", tmp_path / "again") == 0  # a shard names recordings as a manifest does
    assert len(names(tmp_path / "again")) == 2


@pytest.mark.parametrize("shard_format", FORMATS)
def test_results_with_keywords_are_a_manifest_of_the_same(
    run: Run, engine: Any, folder: Path, tmp_path: Path, shard_format: str
) -> None:
    term = {"term": "Siobhan", "offered": True, "found": False, "times": []}
    manifest = folder / "talks.jsonl"
    line = {"id": "a", "audio": "0000.wav", "text": "yes", "keywords": ["Siobhan"]}
    manifest.write_text(json.dumps(line) + "\n")
    plain = engine.answer

    def with_keywords(task: Task) -> Outcome:
        assert task.keywords == ("Siobhan",)
        told = plain(task)
        return dataclasses.replace(told, transcript={**told.transcript, "keywords": [term]})

    engine.answer = with_keywords
    assert run(manifest, "-o", tmp_path / "out", "--shard-format", shard_format) == 0
    (shard,) = (tmp_path / "out").glob("shard-*")
    assert run(shard, "-o", tmp_path / "again") == 0
    (before,), (after,) = rows_in(tmp_path / "out"), rows_in(tmp_path / "again")
    assert before == after
    assert after["reference"] == "yes"
    if shard_format == "jsonl":
        (row,), _ = read_manifest(shard)
        assert (row.text, row.keywords) == ("yes", ("Siobhan",))


def test_one_recording_asked_in_two_ways_is_done_in_the_first(
    run: Run, engine: Any, folder: Path, tmp_path: Path
) -> None:
    manifest = folder / "talks.jsonl"
    lines = [{"id": one, "audio": "0000.wav", "language": one} for one in ("fr", "de")]
    manifest.write_text("".join(json.dumps(line) + "\n" for line in lines))
    for _ in range(2):
        assert run(manifest, "-o", tmp_path / "out") == 1
        assert names(tmp_path / "out") == ["fr"]
        assert "asked with another language" in failed(tmp_path / "out")["0000.wav"]
    assert engine.heard == ["0000.wav"]


def test_the_manifest_of_transcribe_is_a_source(run: Run, folder: Path, tmp_path: Path) -> None:
    manifest = tmp_path / "done.jsonl"
    line = {"manifest_version": 1, "input": str(folder / "0004.wav"), "status": "done"}
    manifest.write_text(json.dumps(line) + "\n")
    assert run(manifest, "-o", tmp_path / "out") == 0
    assert names(tmp_path / "out") == ["0004.wav"]


def test_another_model_needs_another_folder(run: Run, folder: Path, tmp_path: Path) -> None:
    assert run("-r", folder, "-o", tmp_path / "out") == 0
    with pytest.raises(CorpusError, match="asked with another model"):
        run("-r", folder, "-o", tmp_path / "out", "-m", "demo")


@pytest.mark.parametrize("words", ["--part 0/2", "--part 3/2", "--part 2", "--workers 0"])
def test_arguments_that_make_no_sense(words: str) -> None:
    with pytest.raises(UsageError):
        parse(["corpus", "a.wav", "-o", "out", *words.split()])


def test_stdin_is_refused(run: Run, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be read again"):
        run("-", "-o", tmp_path / "out")


def test_what_is_not_ray_is_told_from_it() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        answering = threading.Thread(target=answer_once, args=(server, b"HTTP/1.1 400 Bad\r\n\r\n"))
        answering.start()
        port = server.getsockname()[1]
        with pytest.raises(CorpusError, match="is not Ray"):
            check_that_it_answers(f"127.0.0.1:{port}")
        answering.join()
        answering = threading.Thread(target=answer_once, args=(server, PREFACE[-9:]))
        answering.start()
        check_that_it_answers(f"127.0.0.1:{port}")
        answering.join()


def answer_once(server: socket.socket, answer: bytes) -> None:
    connection, _ = server.accept()
    with connection:
        assert connection.recv(len(PREFACE)) == PREFACE
        connection.sendall(answer)


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("RPC error: InvalidAuthToken: it is missing", "asks for its token, and here is no token"),
        ("Version mismatch: The cluster:\n Ray: 2.61", "other versions; .*The cluster: Ray: 2.61"),
        ("Failed to connect", r"does not let this command in \(it failed Failed to connect\)"),
    ],
)
def test_what_ray_refuses_is_one_sentence(
    said: str, told: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in (TOKEN, TOKEN_PATH):
        monkeypatch.delenv(name, raising=False)
    error = ConnectionError("it failed")
    error.__cause__ = RuntimeError(said)
    refused = str(refusal("head:1", error))
    assert re.search(told, refused)
    assert "\n" not in refused


def test_a_token_is_shown_where_there_is_one(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(os, "environ", {"HOME": str(tmp_path)})
    prepare()
    assert MODE not in os.environ
    (tmp_path / ".ray").mkdir()
    (tmp_path / ".ray" / "auth_token").write_text("a")
    prepare()
    assert os.environ[MODE] == "token"
    os.environ[MODE] = "disabled"
    prepare()
    assert os.environ[MODE] == "disabled"


def test_a_cluster_that_is_not_there_is_one_sentence(
    folder: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    words = ["-r", folder, "-o", tmp_path / "out", "-m", "demo", "--address", "127.0.0.1:9"]
    assert main(["corpus", *map(str, words)]) == 2
    said = capfd.readouterr()
    assert said.out == ""
    (line,) = said.err.splitlines()
    assert line.startswith("granite-mlx: no Ray cluster answers at 127.0.0.1:9 (")
