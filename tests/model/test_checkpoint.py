import errno
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import huggingface_hub
import pytest
from huggingface_hub import constants

from granite_mlx.errors import CheckpointError, UnsupportedModelError
from granite_mlx.model import checkpoint
from granite_mlx.model.checkpoint import DEFAULT_MODEL, find_checkpoint

from .fake_hub import MODEL_ID, SHARDS, FakeHub, Fault, model_files

SMALL_FILES = [
    "config.json",
    "tokenizer.json",
    "generation_config.json",
    "tokenizer_config.json",
    "chat_template.jinja",
    "preprocessor_config.json",
    "processor_config.json",
    "model.safetensors.index.json",
]
ENOUGH_S = 60  # for a process to answer on a busy machine; nothing waits that long if all is well


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache, and nothing of what the machine's user has set up."""
    for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "home"))  # for the logs of Xet
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "token"))
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("time.sleep", lambda seconds: None)  # between huggingface_hub's attempts
    return tmp_path / "cache"


@pytest.fixture(scope="module", autouse=True)
def _one_session() -> Iterator[None]:
    """huggingface_hub's connections outlive the tests that made them, but not this file."""
    yield
    huggingface_hub.close_session()


@pytest.fixture
def hub(cache: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeHub]:
    """The hub that huggingface_hub talks to, with one commit on main."""
    with FakeHub() as hub:
        hub.commit(model_files())
        address = hub.url + "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr(constants, "ENDPOINT", hub.url)
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", address)
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        yield hub


class Log:
    """A progress callback that remembers what it was told."""

    def __init__(self) -> None:
        self.calls: list[tuple[int, int]] = []

    def __call__(self, done_bytes: int, total_bytes: int) -> None:
        self.calls.append((done_bytes, total_bytes))

    @property
    def done(self) -> list[int]:
        return [done for done, _ in self.calls]


def needed(files: dict[str, bytes]) -> dict[str, bytes]:
    return {name: files[name] for name in (*SMALL_FILES, *SHARDS) if name in files}


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


# Downloads


def test_first_call_fetches_only_what_is_needed(hub: FakeHub, cache: Path) -> None:
    found = find_checkpoint(MODEL_ID)
    assert (found.model_id, found.revision) == (MODEL_ID, hub.refs["main"])
    assert contents(found.folder) == needed(model_files())
    assert sorted(hub.fetched()) == sorted(needed(model_files()))
    assert found.folder.is_relative_to(cache)


def test_progress_grows_from_nothing_to_the_total(hub: FakeHub) -> None:
    log = Log()
    find_checkpoint(MODEL_ID, on_progress=log)
    total = sum(map(len, needed(model_files()).values()))
    assert log.calls[0] == (0, total)
    assert log.calls[-1] == (total, total)
    assert {t for _, t in log.calls} == {total}
    assert log.done == sorted(set(log.done))


def test_progress_within_a_file(hub: FakeHub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "DOWNLOAD_CHUNK_SIZE", 5000)
    log = Log()
    find_checkpoint(MODEL_ID, on_progress=log)
    small = sum(len(model_files()[name]) for name in SMALL_FILES)
    assert {small + n for n in (5000, 10_000, 15_000, 20_000)} < set(log.done)


def test_second_call_needs_no_hub(hub: FakeHub) -> None:
    first = find_checkpoint(MODEL_ID)
    hub.close()
    log = Log()
    assert find_checkpoint(MODEL_ID, on_progress=log) == first
    assert find_checkpoint(MODEL_ID, revision=first.revision) == first
    assert log.calls == []


def test_second_call_makes_no_request_and_keeps_the_commit(hub: FakeHub) -> None:
    first = find_checkpoint(MODEL_ID)
    hub.commit(model_files("newer"))
    hub.requests.clear()
    assert find_checkpoint(MODEL_ID) == first
    assert hub.requests == []


def test_offline_mode_uses_the_cache(hub: FakeHub, monkeypatch: pytest.MonkeyPatch) -> None:
    first = find_checkpoint(MODEL_ID)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert find_checkpoint(MODEL_ID) == first


@pytest.mark.parametrize(
    "name", ["config.json", "tokenizer.json", "chat_template.jinja", SHARDS[1]]
)
def test_partial_cache_is_completed(hub: FakeHub, name: str) -> None:
    folder = find_checkpoint(MODEL_ID).folder
    (folder / name).resolve().unlink()
    (folder / name).unlink()
    hub.requests.clear()
    log = Log()
    assert find_checkpoint(MODEL_ID, on_progress=log).folder == folder
    assert hub.fetched() == [name]
    assert contents(folder) == needed(model_files())
    assert log.calls[-1][0] == log.calls[-1][1]
    assert log.done == sorted(set(log.done))


def test_interrupted_download_goes_on_where_it_stopped(hub: FakeHub) -> None:
    hub.faults.append(Fault(SHARDS[2], status=404, code="EntryNotFound"))
    with pytest.raises(CheckpointError, match="HTTP 404"):
        find_checkpoint(MODEL_ID)
    hub.faults.clear()
    hub.requests.clear()
    assert contents(find_checkpoint(MODEL_ID).folder) == needed(model_files())
    assert hub.fetched() == [SHARDS[2]]


def test_damaged_index_in_the_cache(hub: FakeHub) -> None:
    index = find_checkpoint(MODEL_ID).folder / "model.safetensors.index.json"
    index.write_bytes(b'{"weight_map": ')
    hub.requests.clear()
    with pytest.raises(CheckpointError, match=f"{index.name} is not valid JSON .*fetch it again"):
        find_checkpoint(MODEL_ID)
    assert hub.requests == []


def test_one_file_of_weights_without_index(hub: FakeHub) -> None:
    files = {n: c for n, c in model_files().items() if n in SMALL_FILES and "index" not in n}
    hub.commit(files | {"model.safetensors": b"w" * 3000})
    folder = find_checkpoint(MODEL_ID).folder
    assert (folder / "model.safetensors").read_bytes() == b"w" * 3000
    hub.close()
    assert find_checkpoint(MODEL_ID).folder == folder


def test_xet(hub: FakeHub, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    files = model_files()
    hub.store_on_xet({name: files[name] for name in SHARDS}, tmp_path)
    log = Log()
    folder = find_checkpoint(MODEL_ID, on_progress=log).folder
    assert contents(folder) == needed(files)
    assert sorted(hub.fetched()) == sorted(SMALL_FILES)  # the shards came over Xet
    assert log.calls[-1][0] == log.calls[-1][1]
    assert log.done == sorted(set(log.done))
    assert capfd.readouterr() == ("", "")


# Revisions


def test_revision_is_a_branch_or_a_tag(hub: FakeHub) -> None:
    old = hub.commit(model_files("old"), ref="v1")
    found = find_checkpoint(MODEL_ID, revision="v1")
    assert found.revision == old
    assert (found.folder / SHARDS[0]).read_bytes() == model_files("old")[SHARDS[0]]
    assert find_checkpoint(MODEL_ID).revision == hub.refs["main"]
    hub.close()
    assert find_checkpoint(MODEL_ID, revision="v1") == found


def test_revision_is_a_commit(hub: FakeHub) -> None:
    old = hub.refs["main"]
    hub.commit(model_files("newer"))
    found = find_checkpoint(MODEL_ID, revision=old)
    assert found.revision == old
    assert contents(found.folder) == needed(model_files())


def test_another_revision_in_the_cache_is_no_substitute(hub: FakeHub) -> None:
    find_checkpoint(MODEL_ID)
    hub.close()
    with pytest.raises(CheckpointError, match="out of reach"):
        find_checkpoint(MODEL_ID, revision="v1")


def test_all_files_are_of_one_commit_when_the_branch_moves(hub: FakeHub) -> None:
    first = hub.refs["main"]

    def move_branch(done_bytes: int, total_bytes: int) -> None:
        if done_bytes > 0 and hub.refs["main"] == first:
            hub.commit(model_files("newer"))

    found = find_checkpoint(MODEL_ID, on_progress=move_branch)
    assert hub.refs["main"] != first
    assert found.revision == first
    assert contents(found.folder) == needed(model_files())


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


def child(hub: FakeHub, home: Path) -> subprocess.Popen[str]:
    """A process of its own that prints the checkpoint's commit, or "interrupted"."""
    program = (
        "import sys\n"
        "from granite_mlx.model.checkpoint import find_checkpoint\n"
        "assert 'huggingface_hub' not in sys.modules\n"
        "try:\n"
        f"    print(find_checkpoint({MODEL_ID!r}).revision)\n"
        "except KeyboardInterrupt:\n"
        "    print('interrupted')\n"
    )
    settings = {"HF_HOME": str(home), "HF_ENDPOINT": hub.url, "HF_HUB_OFFLINE": "0"}
    environment = {n: v for n, v in os.environ.items() if not n.startswith(("HF_", "HUGGING"))}
    return subprocess.Popen(
        [sys.executable, "-c", program],
        env=environment | settings,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


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
    assert hub.fetched() == SHARDS[1:]


# Folders, "demo", and what is neither


def test_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "my model"
    folder.mkdir()
    monkeypatch.setenv("HOME", str(tmp_path))
    for given in (folder, str(folder), "~/my model", Path("~/my model")):
        found = find_checkpoint(given)
        assert found.folder == folder
        assert (found.model_id, found.revision) == (str(given), None)


def test_folder_goes_before_the_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "owner" / "name").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    assert find_checkpoint("owner/name").folder == Path("owner/name")


def test_demo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    packaged, other = tmp_path / "packaged", tmp_path / "demo"
    for folder in (packaged, other):
        folder.mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(checkpoint, "DEMO_FOLDER", packaged)
    with pytest.raises(CheckpointError, match=r"demo checkpoint is missing .*install granite-mlx"):
        find_checkpoint("demo")
    (packaged / "config.json").write_text("{}")
    found = find_checkpoint("demo")
    assert (found.folder, found.model_id, found.revision) == (packaged, "demo", None)
    assert find_checkpoint(Path("demo")).folder == Path("demo")


def test_demo_folder_is_in_the_package(demo_checkpoint: Path) -> None:
    assert demo_checkpoint == checkpoint.DEMO_FOLDER


def test_no_model_means_the_environment_s(
    hub: FakeHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GRANITE_MLX_MODEL", MODEL_ID)
    assert find_checkpoint(None).model_id == MODEL_ID
    monkeypatch.setenv("GRANITE_MLX_MODEL", str(tmp_path))
    assert find_checkpoint(None).folder == tmp_path


@pytest.mark.parametrize("value", [None, ""])
def test_no_model_means_ibm_s(
    hub: FakeHub, monkeypatch: pytest.MonkeyPatch, value: str | None
) -> None:
    monkeypatch.delenv("GRANITE_MLX_MODEL", raising=False)
    if value is not None:
        monkeypatch.setenv("GRANITE_MLX_MODEL", value)
    with pytest.raises(CheckpointError, match=f"^{DEFAULT_MODEL}: "):
        find_checkpoint(None)
    assert hub.requests == [("GET", f"/api/models/{DEFAULT_MODEL}")]


@pytest.mark.parametrize(
    "model",
    [
        "",
        "nowhere",
        "./owner/name",
        "/no/such/folder",
        "~/no such folder",
        "owner/name/more",
        "owner/",
        "owner/na me",
        "own--er/name",
        "owner/name.git",
        "https://huggingface.co/owner/name",
        "x" * 5000,
        "nul\0",
        Path("owner/name"),
    ],
)
def test_neither_a_folder_nor_an_id(model: str | Path) -> None:
    with pytest.raises(CheckpointError, match=r"there is no folder .*granite-4.0-1b-speech"):
        find_checkpoint(model)


def test_file_instead_of_a_folder(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    path.touch()
    with pytest.raises(CheckpointError, match="is a file; give the folder"):
        find_checkpoint(path)


def test_quantised_copies_are_to_come(tmp_path: Path) -> None:
    for base in ("demo", MODEL_ID, str(tmp_path)):
        with pytest.raises(CheckpointError, match=f"later version will make; for now use '{base}'"):
            find_checkpoint(f"{base}:q8")


def test_revision_is_for_the_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "config.json").write_text("{}")
    monkeypatch.setattr(checkpoint, "DEMO_FOLDER", tmp_path)
    for model in ("demo", tmp_path):
        with pytest.raises(ValueError, match="revision is for models of the hub"):
            find_checkpoint(model, revision="main")


def test_model_of_another_type() -> None:
    with pytest.raises(TypeError, match="not int"):
        find_checkpoint(7)  # type: ignore[arg-type]
