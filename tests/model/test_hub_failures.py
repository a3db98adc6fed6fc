"""Refusals, broken connections, full disks and Ctrl-C on the way from the hub."""

import errno
import os
import shutil
import signal
from pathlib import Path

import pytest
from huggingface_hub import constants

from granite_mlx.errors import CheckpointError, UnsupportedModelError
from granite_mlx.model.checkpoint import find_checkpoint

from .downloads import ENOUGH_S, HEAD, SMALL_FILES, Log, child, contents, needed
from .fake_hub import MODEL_ID, SHARDS, FakeHub, Fault, model_files

# What can go wrong at the hub


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        (Fault("/api/", status=401, code="RepoNotFound"), "hf auth login"),
        (Fault("/api/", status=404, code="RepoNotFound"), "neither a folder nor a model"),
        (Fault("/api/", status=403, code="GatedRepo"), "gated; accept its terms at http"),
        (Fault("/api/", status=403), r"refuses access \(HTTP 403\)"),
        (Fault("/api/", status=500), "HTTP 500; try again later"),
        (Fault("/resolve/", status=401, code="GatedRepo"), "gated; accept its terms at http"),
        (Fault("/resolve/", status=403, code="GatedRepo"), "hf auth login"),
        (Fault("/resolve/", status=403), r"refuses access \(HTTP 403\)"),
        (Fault(SHARDS[1], status=503), "HTTP 503; try again later, complete files are kept"),
        (Fault(SHARDS[1], cut_after=100), f"download of {SHARDS[1]} broke off .*start it again"),
    ],
)
def test_refusals(hub: FakeHub, fault: Fault, message: str) -> None:
    hub.faults.append(fault)
    with pytest.raises(CheckpointError, match=message) as caught:
        find_checkpoint(MODEL_ID)
    assert str(caught.value).startswith(f"{MODEL_ID}: ")
    assert "\n" not in str(caught.value)
    hub.faults.clear()
    assert contents(find_checkpoint(MODEL_ID).folder) == needed(model_files())


def test_no_such_repository(hub: FakeHub) -> None:
    with pytest.raises(CheckpointError, match=r"^nobody/nothing: neither a folder nor a model"):
        find_checkpoint("nobody/nothing")


def test_no_such_revision(hub: FakeHub) -> None:
    with pytest.raises(CheckpointError, match=r"no revision 'v9'; .*/tree/main lists"):
        find_checkpoint(MODEL_ID, revision="v9")


def test_connection_refused(hub: FakeHub, cache: Path) -> None:
    hub.close()
    with pytest.raises(CheckpointError, match="out of reach") as caught:
        find_checkpoint(MODEL_ID)
    assert str(cache) in str(caught.value)
    assert hub.url in str(caught.value)


def test_a_hub_that_is_silent(hub: FakeHub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "HF_HUB_ETAG_TIMEOUT", 0.2)
    hub.faults.append(Fault("/api/models/", stall=True))
    with pytest.raises(CheckpointError, match=r"out of reach \(.*timed out"):
        find_checkpoint(MODEL_ID)


def test_offline_mode_with_an_empty_cache(hub: FakeHub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(CheckpointError, match="HF_HUB_OFFLINE is set; unset"):
        find_checkpoint(MODEL_ID)
    assert hub.requests == []


def test_a_cut_connection_is_taken_up_again(hub: FakeHub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "DOWNLOAD_CHUNK_SIZE", 1000)
    hub.faults.append(Fault(f"/{SHARDS[0]}", cut_after=10_500, times=2))  # HEAD and the first GET
    log = Log()
    folder = find_checkpoint(MODEL_ID, on_progress=log).folder
    assert contents(folder) == needed(model_files())
    assert hub.fetched().count(SHARDS[0]) == 2
    assert log.calls[-1][0] == log.calls[-1][1]
    assert log.done == sorted(set(log.done))


def test_disk_too_small(hub: FakeHub, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = shutil.disk_usage(Path.cwd())._replace(free=50_000)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    with pytest.raises(CheckpointError, match=r"needs 0\.0 GB, but the disk .*set HF_HOME"):
        find_checkpoint(MODEL_ID)
    assert hub.fetched() == []


def test_disk_runs_full(hub: FakeHub, monkeypatch: pytest.MonkeyPatch) -> None:
    def run_full(*args: object, **kwargs: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("huggingface_hub.file_download.http_get", run_full)
    with pytest.raises(CheckpointError, match="is full; make room"):
        find_checkpoint(MODEL_ID)


@pytest.mark.parametrize(
    ("left_out", "message"),
    [
        ((*SHARDS, "model.safetensors.index.json"), "no safetensors weights"),
        (("config.json",), "no config.json on the hub"),
        (("tokenizer.json",), "no tokenizer.json on the hub"),
        (("chat_template.jinja",), "no chat template"),
        ((SHARDS[2],), f"no {SHARDS[2]} on the hub"),
    ],
)
def test_incomplete_repository(hub: FakeHub, left_out: tuple[str, ...], message: str) -> None:
    hub.commit({n: c for n, c in model_files().items() if n not in left_out})
    with pytest.raises(CheckpointError, match=message):
        find_checkpoint(MODEL_ID)
    if SHARDS[2] not in left_out:  # else only the index tells
        assert not set(SHARDS) & set(hub.fetched())


def test_unsupported_model_is_told_before_its_weights_are_fetched(hub: FakeHub) -> None:
    hub.commit(model_files() | {"config.json": b'{"model_type": "whisper"}'})
    with pytest.raises(UnsupportedModelError, match="whisper"):
        find_checkpoint(MODEL_ID)
    assert not set(SHARDS) & set(hub.fetched())


# Progress that raises, Ctrl-C, and silence


@pytest.mark.parametrize("on_xet", [False, True])
def test_exceptions_of_the_callback_reach_the_caller(
    hub: FakeHub, tmp_path: Path, capfd: pytest.CaptureFixture[str], on_xet: bool
) -> None:
    files = model_files()
    if on_xet:
        hub.store_on_xet({name: files[name] for name in SHARDS}, tmp_path)
    small = sum(len(files[name]) for name in SMALL_FILES)
    calls = Log()

    def cancel(done_bytes: int, total_bytes: int) -> None:
        calls(done_bytes, total_bytes)
        if done_bytes > small:
            raise OSError("cancelled")

    with pytest.raises(OSError, match=r"^cancelled$"):
        find_checkpoint(MODEL_ID, on_progress=cancel)
    assert len([done for done in calls.done if done > small]) == 1
    assert not {SHARDS[1], SHARDS[2]} & set(hub.fetched())
    assert capfd.readouterr() == ("", "")


def test_nothing_is_printed(hub: FakeHub, tmp_path: Path) -> None:
    hub.faults.append(Fault(SHARDS[0], status=503, times=1))  # huggingface_hub warns and repeats
    with child(hub, tmp_path) as process:
        out, err = process.communicate(timeout=ENOUGH_S)
    assert (out.strip(), err) == (hub.refs["main"], "")
    assert hub.faults[0].times == 0


def test_ctrl_c_leaves_a_cache_to_go_on_with(
    hub: FakeHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.faults.append(Fault(SHARDS[1], cut_after=100, stall=True))
    with child(hub, tmp_path) as process:
        assert hub.stalled.wait(ENOUGH_S)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=ENOUGH_S)
    assert (out.strip(), err) == ("interrupted", "")
    hub.faults.clear()
    hub.requests.clear()
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    assert contents(find_checkpoint(MODEL_ID).folder) == needed(model_files())
    assert hub.fetched() == [*SHARDS[1:], HEAD]
