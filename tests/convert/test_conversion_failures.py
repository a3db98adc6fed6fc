"""Conversions that are refused or interrupted: nothing is left behind, nothing is changed."""

import errno
import io
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from granite_mlx.convert import convert, prepare, read_manifest, stream, uniform
from granite_mlx.convert.conversion import OnStage
from granite_mlx.convert.recordings import Recording
from granite_mlx.convert.verify import verifier
from granite_mlx.errors import CheckpointError, ConversionError
from granite_mlx.model.quantisation import QuantFormat
from granite_mlx.model.shards import read_headers

from ..model.tiny import edit_header, published_tensors
from .small import HEAD, TABLE, TIED, files, leftovers, small_checkpoint

Q8 = uniform(QuantFormat(8, 64))
ENOUGH_S = 60


# Refusals


@pytest.mark.parametrize("option", [{"dtype": "int8"}, {"layout": "whisper"}])
def test_wrong_arguments(source: Path, result: Path, option: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="must be one of"):
        convert(source, result, **option)


def test_a_recipe_that_does_not_exist(source: Path, result: Path) -> None:
    with pytest.raises(ConversionError, match="there is no recipe 'q5'"):
        convert(source, result, recipe="q5")


def test_a_pickle_is_never_opened(source: Path, result: Path) -> None:
    for path in source.glob("model*"):
        path.unlink()
    (source / "pytorch_model.bin").write_bytes(b"cos\nsystem\n(S'touch opened'\ntR.")
    with pytest.raises(CheckpointError, match="never opened, use safetensors"):
        convert(source, result, recipe="q8")
    assert leftovers(result) == []


def test_a_corrupt_header(source: Path, result: Path) -> None:
    path = source / "model-00002-of-00003.safetensors"
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(CheckpointError, match=r"model-00002.*fetch it again"):
        convert(source, result, recipe="q8")
    assert leftovers(result) == []


def test_a_wrong_shape(source: Path, result: Path) -> None:
    def transposed(header: dict[str, Any]) -> None:
        header[HEAD]["shape"].reverse()

    edit_header(read_headers(source)[HEAD].path, transposed)
    with pytest.raises(CheckpointError, match=r"lm_head\.weight has the shape \[128, 307\]"):
        convert(source, result, recipe="q8")
    assert leftovers(result) == []


def test_a_source_without_a_tokenizer(source: Path, result: Path) -> None:
    (source / "tokenizer.json").unlink()
    with pytest.raises(ConversionError, match=r"has no tokenizer\.json"):
        convert(source, result)


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("tokenizer.json", '{"model": {}}', r"tokenizer\.json cannot be read"),
        ("chat_template.jinja", "{{ no template", "chat template cannot be parsed"),
        ("chat_template.jinja", "nothing", "0 audio placeholders"),
        ("preprocessor_config.json", "[", r"preprocessor_config\.json is not valid JSON"),
    ],
)
def test_what_is_carried_over_must_be_of_use(
    source: Path, result: Path, name: str, content: str, said: str
) -> None:
    (source / name).write_text(content)
    with pytest.raises(CheckpointError, match=said):
        convert(source, result, recipe=Q8)
    assert leftovers(result) == []


def test_a_lone_surrogate_in_the_config_is_carried_over(source: Path, result: Path) -> None:
    config = json.loads((source / "config.json").read_text())
    (source / "config.json").write_text(json.dumps(config | {"_note": "\ud800 \u00e9"}))
    convert(source, result)
    assert json.loads((result / "config.json").read_text())["_note"] == "\ud800 \u00e9"


@pytest.mark.parametrize("change", [lambda p: os.truncate(p, 20_000), Path.unlink])
def test_a_source_that_is_cut_or_removed_meanwhile(
    source: Path, result: Path, change: Callable[[Path], None]
) -> None:
    last = source / "model-00003-of-00003.safetensors"

    def cut(stage: str, done_bytes: int, total_bytes: int) -> None:
        if stage == "write" and last.exists() and last.stat().st_size > 20_000:
            change(last)

    with pytest.raises(CheckpointError, match=f"{source}.* cannot be read any more"):
        convert(source, result, on_progress=cut)
    assert leftovers(result) == []


def test_a_source_that_is_written_over_meanwhile(source: Path, result: Path) -> None:
    last = source / "model-00003-of-00003.safetensors"
    content = last.read_bytes()

    def write_over(stage: str, done_bytes: int, total_bytes: int) -> None:
        if stage == "write" and last.stat().st_mtime_ns != 1:
            last.write_bytes(content)
            os.utime(last, ns=(1, 1))

    with pytest.raises(CheckpointError, match="has changed while it was converted"):
        convert(source, result, on_progress=write_over)
    assert leftovers(result) == []


def test_a_card_that_is_a_link_to_somebody_elses_file(source: Path, result: Path) -> None:
    (source / "README.md").unlink()
    (source / "README.md").symlink_to("/etc/hostname")
    with pytest.raises(ConversionError, match=r"README\.md is a link to .*hostname"):
        convert(source, result)


@pytest.mark.parametrize(
    ("place", "said"), [("file/x", "file is no folder"), ("x" * 250, "name is too long")]
)
def test_places_that_cannot_be_are_seen_before_the_source(
    result: Path, place: str, said: str
) -> None:
    (result.parent / "file").write_text("")
    with pytest.raises(ConversionError, match=said):
        convert("owner/does-not-exist", result.parent / place)


def test_a_link_that_leads_nowhere(tmp_path: Path, result: Path) -> None:
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    with pytest.raises(CheckpointError, match="is a link that leads nowhere"):
        convert(tmp_path / "loop", result)


def test_a_recording_of_any_name_reaches_the_manifest(source: Path, result: Path) -> None:
    noise = np.random.default_rng(1).normal(scale=0.1, size=8000).astype(np.float32)
    odd = Recording(os.fsdecode(b"caf\xe9.wav"), noise, 16000, "a word")
    convert(source, result, recipe=Q8, verify=verifier([odd]))
    (heard,) = json.loads((result / "granite_mlx.json").read_text())["verification"]["recordings"]
    assert heard["name"] == odd.name


@pytest.mark.skipif(sys.platform == "darwin", reason="its file systems have no such names")
def test_a_folder_whose_name_is_no_utf_8(source: Path, result: Path) -> None:
    odd = source.with_name(os.fsdecode(b"caf\xe9"))
    with pytest.raises(CheckpointError, match=r"caf\\udce9.* is no UTF-8.*rename it"):
        convert(source, odd)
    source.rename(odd)
    with pytest.raises(CheckpointError, match=r"caf\\udce9.* is no UTF-8.*rename it"):
        convert(odd, result)
    assert leftovers(result) == []


def test_a_tied_head_that_differs(tmp_path: Path, result: Path) -> None:
    tensors = published_tensors(TIED)
    tensors[HEAD] = tensors[TABLE] + 1
    source = small_checkpoint(tmp_path / "source", config=TIED, tensors=tensors)
    with pytest.raises(CheckpointError, match=r"lm_head.*tie_word_embeddings"):
        convert(source, result, recipe=Q8)
    assert leftovers(result) == []


def test_the_source_is_no_destination(source: Path, result: Path) -> None:
    convert(source, result, recipe="q8")
    before = files(result)
    with pytest.raises(ConversionError, match="leaves its source as it is"):
        convert(result, result, dequantise=True, force=True)
    assert files(result) == before


def test_a_destination_that_is_taken_is_seen_before_the_source(result: Path) -> None:
    result.mkdir()
    with pytest.raises(ConversionError, match="exists already"):
        convert("owner/does-not-exist", result)


def test_force_replaces_an_earlier_conversion(source: Path, result: Path) -> None:
    convert(source, result, recipe="q8")
    with pytest.raises(ConversionError, match="exists already"):
        convert(source, result, recipe="q4")
    manifest = convert(source, result, recipe="q4", force=True)
    assert read_manifest(result) == manifest
    assert leftovers(result) == [result.name]


# Never half a result


class FullDisk(io.FileIO):
    """A file on a disk that has room for so many bytes more."""

    room_bytes = 300_000
    reason = errno.ENOSPC

    def write(self, data: Any) -> int:
        size = memoryview(data).nbytes
        if size > FullDisk.room_bytes:
            raise OSError(FullDisk.reason, os.strerror(FullDisk.reason))
        FullDisk.room_bytes -= size
        written = super().write(data)
        assert written is not None
        return written


@pytest.mark.parametrize(
    ("reason", "said"),
    [
        (errno.ENOSPC, "the disk is full: nothing was kept"),
        (errno.EFBIG, "the disk holds no file of this size .*: nothing was kept"),
    ],
)
@pytest.mark.parametrize("force", [False, True])
def test_a_disk_that_fills_leaves_everything_as_it_was(
    source: Path,
    result: Path,
    force: bool,
    reason: int,
    said: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if force:
        convert(source, result, recipe="q8")
    before = files(source.parent)
    monkeypatch.setattr(FullDisk, "room_bytes", 300_000)
    monkeypatch.setattr(FullDisk, "reason", reason)
    monkeypatch.setattr(stream, "open_new", lambda path: FullDisk(path, "xb"))
    with pytest.raises(ConversionError, match=said):
        convert(source, result, force=force)
    assert FullDisk.room_bytes < 290_000  # something had been written
    assert files(source.parent) == before


def test_a_disk_that_is_too_small_is_not_written_to(
    source: Path, result: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    needed = prepare(source).plan.n_bytes
    usage = shutil._ntuple_diskusage(10**9, 10**9, needed)  # type: ignore[attr-defined]
    monkeypatch.setattr(shutil, "disk_usage", lambda place: usage)
    monkeypatch.setattr(stream, "open_new", pytest.fail)
    with pytest.raises(ConversionError, match=r"needs .* GB, but the disk has .* GB free"):
        convert(source, result)
    assert leftovers(result) == []


@pytest.mark.parametrize("stage", ["hash", "write"])
def test_an_exception_of_the_callback_ends_the_conversion(
    source: Path, result: Path, stage: str
) -> None:
    with pytest.raises(RuntimeError, match="enough"):
        convert(source, result, recipe="q8", on_progress=stopping_at(stage))
    assert leftovers(result) == []


def stopping_at(stage: str) -> OnStage:
    def stop(at: str, done_bytes: int, total_bytes: int) -> None:
        if at == stage and done_bytes > total_bytes / 2:
            raise RuntimeError("enough")

    return stop


SLOW = """
import sys, time
from granite_mlx.convert import convert

def slow(stage, done_bytes, total_bytes):
    print(stage, flush=True)
    time.sleep(0.05)

convert(sys.argv[1], sys.argv[2], recipe="q8", on_progress=slow)
"""


def test_ctrl_c_leaves_nothing_behind(source: Path, result: Path) -> None:
    before = files(source.parent)
    command = [sys.executable, "-c", SLOW, str(source), str(result)]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout is not None
            for line in process.stdout:
                if line == "write\n":
                    assert leftovers(result) != []
                    process.send_signal(signal.SIGINT)
                    break
            _, err = process.communicate(timeout=ENOUGH_S)
        finally:
            process.kill()
    assert process.returncode != 0
    assert "KeyboardInterrupt" in err
    assert leftovers(result) == []
    assert files(source.parent) == before
