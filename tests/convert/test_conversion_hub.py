"""Conversions of models of the hub."""

from pathlib import Path

import pytest
from huggingface_hub import hf_hub_download

import granite_mlx
from granite_mlx.convert import convert
from granite_mlx.errors import CheckpointError

from ..model.fake_hub import MODEL_ID, FakeHub
from .small import files, leftovers, stored


def test_a_model_of_the_hub(hub: FakeHub, source: Path, result: Path) -> None:
    content = files(source)
    commit = hub.commit(content | {"LICENSE": b"Apache", "pytorch_model.bin": b"p"})
    stages: list[str] = []
    manifest = convert(
        MODEL_ID, result, recipe="q8", on_progress=lambda stage, *_: stages.append(stage)
    )
    assert (manifest.source.model_id, manifest.source.revision) == (MODEL_ID, commit)
    assert stages[0] == "download"
    for name in ("tokenizer.json", "out_llm.safetensors"):
        assert (result / name).read_bytes() == content[name]
    assert not (result / name).is_symlink()
    assert (result / "LICENSE").read_bytes() == b"Apache"
    assert f"base_model: {MODEL_ID}" in (result / "README.md").read_text()
    assert "pytorch_model.bin" not in hub.fetched()


def test_what_is_in_the_cache_is_converted_without_the_network(
    hub: FakeHub, source: Path, result: Path
) -> None:
    commit = hub.commit(files(source))
    convert(MODEL_ID, result, recipe="q8")
    hub.close()
    again = result.with_name("again")
    assert convert(MODEL_ID, again, recipe="q8").source.revision == commit
    assert stored(again).keys() == stored(result).keys()


def test_what_only_conversion_wants_is_left_out_without_the_network(
    hub: FakeHub, source: Path, result: Path
) -> None:
    hub.commit(files(source))
    granite_mlx.load(MODEL_ID).close()
    assert "README.md" not in hub.fetched()
    hub.close()
    manifest = convert(MODEL_ID, result, recipe="q8")
    (warning,) = manifest.warnings
    assert warning.startswith("the result may lack the source's license")
    assert "out of reach" in warning


def test_a_card_in_the_cache_is_no_proof_of_the_rest(
    hub: FakeHub, source: Path, result: Path
) -> None:
    commit = hub.commit(files(source) | {"README.md": b"# A card", "LICENSE": b"Apache"})
    granite_mlx.load(MODEL_ID).close()
    hf_hub_download(MODEL_ID, "README.md", revision=commit)
    convert(MODEL_ID, result, recipe="q8")
    assert (result / "LICENSE").read_bytes() == b"Apache"


def test_what_a_commit_lacks_is_asked_for_once(hub: FakeHub, source: Path, result: Path) -> None:
    hub.commit(files(source))
    convert(MODEL_ID, result, recipe="q8")
    n_requests = len(hub.requests)
    convert(MODEL_ID, result, recipe="q8", force=True)
    assert len(hub.requests) == n_requests


def test_a_model_that_does_not_exist(hub: FakeHub, result: Path) -> None:
    with pytest.raises(CheckpointError, match="neither a folder nor a model of the hub"):
        convert("owner/nobody", result, recipe="q8")
    assert leftovers(result) == []


def test_no_network(hub: FakeHub, result: Path) -> None:
    hub.close()
    with pytest.raises(CheckpointError, match="out of reach"):
        convert(MODEL_ID, result, recipe="q8")
    assert leftovers(result) == []
