"""Downloads: what is fetched, what is kept, and which commit it is of."""

from pathlib import Path

import pytest
from huggingface_hub import constants

from granite_mlx.errors import CheckpointError
from granite_mlx.model.checkpoint import find_checkpoint
from granite_mlx.model.shards import INDEX_NAME

from .downloads import HEAD, SMALL_FILES, Log, contents, needed
from .fake_hub import MODEL_ID, SHARDS, FakeHub, Fault, model_files

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
    assert hub.fetched() == [SHARDS[2], HEAD]


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
    hub.store_on_xet({name: files[name] for name in (*SHARDS, HEAD)}, tmp_path)
    log = Log()
    folder = find_checkpoint(MODEL_ID, on_progress=log).folder
    assert contents(folder) == needed(files)
    assert sorted(hub.fetched()) == sorted(SMALL_FILES)  # the others came over Xet
    assert log.calls[-1][0] == log.calls[-1][1]
    assert log.done == sorted(set(log.done))
    assert capfd.readouterr() == ("", "")


def test_a_second_head_is_no_weights(hub: FakeHub) -> None:
    hub.commit({n: c for n, c in model_files().items() if n not in (*SHARDS, INDEX_NAME)})
    with pytest.raises(CheckpointError, match="no safetensors weights"):
        find_checkpoint(MODEL_ID)


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
