"""A LoRA adapter's files, which are part of a checkpoint on the hub that has one."""

import json

import pytest

from granite_mlx.errors import CheckpointError, UnsupportedModelError
from granite_mlx.model.checkpoint import find_checkpoint

from .fake_hub import CONFIG, MODEL_ID, SHARDS, FakeHub, model_files

ADAPTER = {
    "adapter_config.json": b'{"peft_type": "LORA", "r": 2, "lora_alpha": 4}',
    "adapter_model.safetensors": b"a" * 700,
}


def adapted_files() -> dict[str, bytes]:
    """A repository of a model with an adapter."""
    config = json.dumps(CONFIG | {"has_lora_adapter": True}).encode()
    return model_files() | ADAPTER | {"config.json": config}


@pytest.mark.parametrize("name", ADAPTER)
def test_both_files_are_fetched_and_part_of_the_whole(hub: FakeHub, name: str) -> None:
    hub.commit(adapted_files())
    folder = find_checkpoint(MODEL_ID).folder
    assert {*SHARDS, *ADAPTER} <= set(hub.fetched())
    hub.requests.clear()
    assert find_checkpoint(MODEL_ID).folder == folder
    assert hub.requests == []
    (folder / name).resolve().unlink()
    (folder / name).unlink()
    find_checkpoint(MODEL_ID)
    assert hub.fetched() == [name]
    assert (folder / name).read_bytes() == ADAPTER[name]


@pytest.mark.parametrize("name", ADAPTER)
def test_repository_without_its_adapter(hub: FakeHub, name: str) -> None:
    files = adapted_files()
    del files[name]
    hub.commit(files)
    with pytest.raises(CheckpointError, match=name):
        find_checkpoint(MODEL_ID)


def test_unsupported_adapter_is_told_before_the_weights_are_fetched(hub: FakeHub) -> None:
    config = b'{"peft_type": "LORA", "r": 2, "lora_alpha": 4, "use_dora": true}'
    hub.commit(adapted_files() | {"adapter_config.json": config})
    with pytest.raises(UnsupportedModelError, match="use_dora"):
        find_checkpoint(MODEL_ID)
    assert not {*SHARDS, "adapter_model.safetensors"} & set(hub.fetched())
