import json
from pathlib import Path
from typing import Any

import pytest

from granite_mlx.convert.beside import carried_files, converted_config, is_written
from granite_mlx.convert.layout import GraniteMLX
from granite_mlx.convert.plan import Plan, plan
from granite_mlx.convert.recipes import uniform
from granite_mlx.errors import ConversionError
from granite_mlx.model.config import parse_config
from granite_mlx.model.quantisation import QuantFormat
from granite_mlx.model.shards import read_headers
from granite_mlx.model.stored import StoredTensors

from .small import CONFIG, small_checkpoint

FILES = (
    "LICENSE LICENSE.txt NOTICE.md README.md added_tokens.json chat_template.jinja "
    "chat_template.json config.json generation_config.json granite_mlx.json merges.txt "
    "model-00001-of-00002.safetensors model.safetensors model.safetensors.index.json "
    "out_llm.safetensors preprocessor_config.json processor_config.json pytorch_model.bin "
    "special_tokens_map.json tokenizer.json tokenizer.model tokenizer_config.json training.bin "
    "vocab.json adapter_config.json adapter_model.safetensors call.wav .hidden tokenizer.pkl "
    "tokenizer.json.bak LICENSE.key chat_template.py"
).split()


@pytest.fixture
def quantised(tmp_path: Path) -> Plan:
    tensors = StoredTensors(read_headers(small_checkpoint(tmp_path))).tensors
    return plan(tensors, tied=False, recipe=uniform(QuantFormat(8, 64)))


@pytest.fixture
def floating(tmp_path: Path) -> Plan:
    tensors = StoredTensors(read_headers(small_checkpoint(tmp_path))).tensors
    return plan(tensors, tied=False)


def test_what_is_carried_over(tmp_path: Path) -> None:
    for name in FILES:
        (tmp_path / name).touch()
    (tmp_path / "NOTICE").mkdir()
    carried = {path.name for path in carried_files(tmp_path)}
    assert set(FILES) - carried == {
        "README.md", "config.json", "granite_mlx.json", "model.safetensors",
        "model-00001-of-00002.safetensors", "model.safetensors.index.json", "pytorch_model.bin",
        "training.bin", "adapter_config.json", "adapter_model.safetensors", "call.wav",
        ".hidden", "tokenizer.pkl", "tokenizer.json.bak", "LICENSE.key", "chat_template.py",
    }  # fmt: skip
    assert carried <= set(FILES)


def test_a_link_to_a_file_of_the_folder_is_carried_over(tmp_path: Path) -> None:
    (tmp_path / "blob").touch()
    (tmp_path / "tokenizer.json").symlink_to("blob")
    (tmp_path / "merges.txt").symlink_to("nowhere")
    assert [path.name for path in carried_files(tmp_path)] == ["tokenizer.json"]


def test_links_of_the_hubs_cache_are_carried_over(tmp_path: Path) -> None:
    commit = tmp_path / "models--ibm--granite" / "snapshots" / "0123"
    commit.mkdir(parents=True)
    blobs = tmp_path / "models--ibm--granite" / "blobs"
    blobs.mkdir()
    (blobs / "4567").touch()
    (commit / "tokenizer.json").symlink_to("../../blobs/4567")
    assert [path.name for path in carried_files(commit)] == ["tokenizer.json"]


def test_a_link_to_somebody_elses_file_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "checkpoint"
    folder.mkdir()
    (tmp_path / "id_rsa").touch()
    (folder / "LICENSE").symlink_to("../id_rsa")
    with pytest.raises(ConversionError, match=r"LICENSE is a link to .*id_rsa, which is not in"):
        carried_files(folder)


@pytest.mark.parametrize("name", ["config.json", "model-00002-of-00003.safetensors", ".DS_Store"])
def test_what_a_conversion_writes(name: str) -> None:
    assert is_written(name)


@pytest.mark.parametrize("name", ["thesis.tex", ".git", "model-1.safetensors", "adapter.json"])
def test_what_it_does_not_write(name: str) -> None:
    assert not is_written(name)


def test_quantization_is_told_twice(quantised: Plan) -> None:
    config = converted_config(CONFIG, quantised, None)
    wanted = {"group_size": 64, "bits": 8, "mode": "affine"}
    assert config["quantization"] == config["quantization_config"] == wanted
    assert {key: value for key, value in config.items() if key in CONFIG} == CONFIG


def test_an_old_quantization_goes(floating: Plan) -> None:
    old = CONFIG | {"quantization": {"bits": 4}, "quantization_config": {"bits": 4}}
    assert converted_config(old, floating, None) == CONFIG


def test_the_type_is_told_wherever_it_was(floating: Plan) -> None:
    old: dict[str, Any] = json.loads(json.dumps(CONFIG))
    old["encoder_config"]["torch_dtype"] = "float32"
    config = converted_config(old, floating, "bfloat16")
    assert config["dtype"] == "bfloat16"
    assert config["text_config"]["dtype"] == "bfloat16"
    assert config["encoder_config"]["torch_dtype"] == "bfloat16"
    assert "dtype" not in config["projector_config"]
    assert old["dtype"] == "float32"
    assert converted_config(old, floating, None) == old


def test_a_merged_adapter_is_not_asked_for(floating: Plan) -> None:
    config = converted_config(CONFIG | {"has_lora_adapter": True}, floating, None)
    assert config["has_lora_adapter"] is False


def test_the_model_is_the_same(quantised: Plan) -> None:
    before, after = parse_config(CONFIG), parse_config(converted_config(CONFIG, quantised, None))
    assert after.quantisation is not None
    assert (after.encoder, after.projector, after.text) == (
        before.encoder, before.projector, before.text,
    )  # fmt: skip


def test_the_layout_edits_last(quantised: Plan) -> None:
    class Telling(GraniteMLX):
        def edit_config(self, config: dict[str, Any]) -> dict[str, Any]:
            return {"seen": sorted(config.keys() & {"quantization", "dtype"})}

    told = Plan(quantised.fates, Telling())
    assert converted_config(CONFIG, told, "float16") == {"seen": ["dtype", "quantization"]}
