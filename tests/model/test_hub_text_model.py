"""Text models of the hub: what is fetched of them, and that code is refused before that."""

import json
from pathlib import Path

import pytest

from granite_mlx.errors import CheckpointError
from granite_mlx.second_pass.model_folder import find_text_model

from .downloads import Log, contents
from .fake_hub import MODEL_ID, SHARDS, FakeHub, Fault, model_files

WANTED = {
    "config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json",
    "chat_template.jinja", "preprocessor_config.json", "processor_config.json",
    "model.safetensors.index.json", *SHARDS,
}  # fmt: skip


def files(**config: object) -> dict[str, bytes]:
    changed = {"model_type": "granitemoehybrid"} | config
    code = {"modeling_granite.py": b"raise SystemExit", "mine.py": b"raise SystemExit"}
    return model_files() | code | {"config.json": json.dumps(changed).encode()}


def test_weights_and_small_files_are_fetched_and_no_code(hub: FakeHub, cache: Path) -> None:
    hub.commit(files())
    log = Log()
    folder, name = find_text_model(MODEL_ID, None, log)
    assert name == MODEL_ID
    assert set(contents(folder)) == WANTED
    assert set(hub.fetched()) == WANTED
    assert folder.is_relative_to(cache)
    assert log.done[-1] == sum(len(content) for content in contents(folder).values())


def test_what_is_in_the_cache_needs_no_hub(hub: FakeHub) -> None:
    hub.commit(files())
    first = find_text_model(MODEL_ID, None, None)
    hub.close()
    assert find_text_model(MODEL_ID, None, None) == first


def test_a_model_with_code_is_refused_before_its_weights_are_fetched(hub: FakeHub) -> None:
    hub.commit(files(model_file="mine.py"))
    with pytest.raises(CheckpointError, match="brings code of its own"):
        find_text_model(MODEL_ID, None, None)
    assert not set(hub.fetched()) & {"mine.py", *SHARDS}


def test_a_download_that_broke_off_is_taken_up(hub: FakeHub) -> None:
    hub.commit(files())
    hub.faults = [Fault(SHARDS[1], status=500, times=50)]
    with pytest.raises(CheckpointError, match="HTTP 500"):
        find_text_model(MODEL_ID, None, None)
    hub.faults = []
    before = len(hub.fetched())
    folder, _ = find_text_model(MODEL_ID, None, None)
    assert set(contents(folder)) == WANTED
    assert len(hub.fetched()) - before <= 3  # what was there is not fetched again


def test_a_repository_of_pickles_is_refused(hub: FakeHub) -> None:
    pickles = {name: data for name, data in files().items() if name not in SHARDS}
    hub.commit(pickles)
    with pytest.raises(CheckpointError, match="no safetensors weights on the hub"):
        find_text_model(MODEL_ID, None, None)
