"""Adapters that cannot be merged."""

import json
from pathlib import Path

import mlx.core as mx
import pytest

from granite_mlx.convert import convert
from granite_mlx.convert.adapter import merged, read_adapted_headers
from granite_mlx.errors import CheckpointError, UnsupportedModelError
from granite_mlx.model.config import parse_config
from granite_mlx.model.folder import ADAPTER_CONFIG_NAME, ADAPTER_WEIGHTS_NAME
from granite_mlx.model.speech_model import SpeechModel
from granite_mlx.model.weights import check_tensors

from ..model.tiny import (
    published_tensors,
    write_checkpoint,
)
from . import small
from .test_adapter import ADAPTED, Q_PROJ, Tensors, add_adapter, edit_factors, peft_name


def refused(folder: Path) -> str:
    """The message that a checkpoint is refused with before anything is read."""
    model = SpeechModel(parse_config(json.loads((folder / "config.json").read_text())))

    def check() -> None:
        headers, updates = read_adapted_headers(folder)
        check_tensors(model, headers, merged(updates))

    with pytest.raises(CheckpointError) as caught:
        check()
    return str(caught.value)


@pytest.fixture
def adapted(tmp_path: Path, data_dir: Path) -> Path:
    """A checkpoint with the stored adapter."""
    return add_adapter(write_checkpoint(tmp_path, config=ADAPTED), data_dir)


LORA_A = f"{peft_name(Q_PROJ)}.lora_A.weight"
LORA_B = f"{peft_name(Q_PROJ)}.lora_B.weight"
OTHER_A = LORA_A.replace(peft_name(Q_PROJ), "{}")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({LORA_B: None}, f"adapter_model.safetensors lacks the tensor {Q_PROJ}.lora_B.weight"),
        ({LORA_A.replace(".weight", ".second.weight"): (4, 36)}, "are the same factor twice"),
        ({LORA_A: (5, 36)}, f"{LORA_A} is of rank 5, but adapter_config.json says 4"),
        ({LORA_B: (36, 5)}, f"{LORA_B} is of rank 5, but adapter_config.json says 4"),
        ({LORA_A: (4, 35)}, f"{LORA_A} has the shape [4, 35]"),
        ({LORA_B: (12, 4)}, f"{LORA_B} has the shape [12, 4]"),
        ({LORA_A: (4, 36, 1)}, f"{LORA_A} is no factor of a linear layer"),
        ({LORA_A.replace("lora_A", "lora_embedding_A"): (4, 36)}, "is no factor of a linear layer"),
        ({LORA_A.replace("lora_A", "lora_magnitude_vector"): (36,)}, "lora_magnitude_vector"),
        ({OTHER_A.format("lm_head"): (4, 36)}, "lacks the tensor language_model.lm_head.lora_B"),
    ],
)  # fmt: skip
def test_tensors_that_do_not_fit_are_named(
    adapted: Path, change: dict[str, tuple[int, ...] | None], message: str
) -> None:
    def edit(factors: Tensors) -> Tensors:
        new = {name: mx.ones(shape) for name, shape in change.items() if shape is not None}
        return {name: a for name, a in factors.items() if name not in change} | new

    edit_factors(adapted, edit)
    assert message in refused(adapted)


@pytest.mark.parametrize(
    ("module", "shape", "message"),
    [
        ("language_model.model.layers.9.mlp.up_proj", (50, 36), "which the checkpoint does not"),
        ("encoder.layers.0.conv.up_conv", (104, 26), "only adapters of linear layers"),
    ],
)
def test_modules_that_cannot_be_adapted(
    adapted: Path, module: str, shape: tuple[int, int], message: str
) -> None:
    new = {
        f"base_model.model.{module}.lora_A.weight": mx.ones((4, shape[1])),
        f"base_model.model.{module}.lora_B.weight": mx.ones((shape[0], 4)),
    }
    edit_factors(adapted, lambda factors: factors | new)
    text = refused(adapted)
    assert f"{module}.weight" in text
    assert message in text


def test_an_adapter_of_a_tied_head(tmp_path: Path) -> None:
    """Merged, it would change the embedding table as well."""
    config = ADAPTED | {"tie_word_embeddings": True}
    head = published_tensors()["language_model.model.embed_tokens.weight"]
    tensors = published_tensors(config) | {"language_model.lm_head.weight": head}
    write_checkpoint(tmp_path, config=config, tensors=tensors)
    factors = {
        "lm_head.lora_A.weight": mx.ones((2, 36)),
        "lm_head.lora_B.weight": mx.ones((307, 2)),
    }
    mx.save_safetensors(str(tmp_path / ADAPTER_WEIGHTS_NAME), factors)
    raw = {"peft_type": "LORA", "r": 2, "lora_alpha": 2}
    (tmp_path / ADAPTER_CONFIG_NAME).write_text(json.dumps(raw))
    assert "lm_head.lora_A.weight is no part of the model" in refused(tmp_path)


def test_a_quantised_matrix_is_not_adapted(tmp_path: Path, data_dir: Path) -> None:
    convert(small.small_checkpoint(tmp_path / "a"), tmp_path / "b", recipe="q8")
    add_adapter(tmp_path / "b", data_dir)
    with pytest.raises(UnsupportedModelError, match=r"q_proj\.weight is quantised"):
        read_adapted_headers(tmp_path / "b")


def test_an_adapter_without_tensors(adapted: Path) -> None:
    edit_factors(adapted, lambda factors: {})
    assert "adapter_model.safetensors holds no tensors" in refused(adapted)


def test_factors_of_integers(adapted: Path) -> None:
    edit_factors(adapted, lambda factors: factors | {LORA_A: mx.ones((4, 36), mx.int32)})
    assert f"{LORA_A} is of type I32" in refused(adapted)


def test_an_adapter_that_is_no_plain_lora(adapted: Path) -> None:
    path = adapted / ADAPTER_CONFIG_NAME
    path.write_text(json.dumps(json.loads(path.read_text()) | {"use_dora": True}))
    assert "adapter_config.json: use_dora is True" in refused(adapted)


def test_missing_adapter(tmp_path: Path, data_dir: Path) -> None:
    write_checkpoint(tmp_path, config=ADAPTED)
    text = refused(tmp_path)
    assert f"{tmp_path / ADAPTER_CONFIG_NAME} is missing, but config.json says has_lora" in text
    add_adapter(tmp_path, data_dir)
    (tmp_path / ADAPTER_WEIGHTS_NAME).unlink()
    assert f"{tmp_path / ADAPTER_WEIGHTS_NAME} is missing" in refused(tmp_path)


def test_a_pickled_adapter_is_never_opened(adapted: Path) -> None:
    (adapted / ADAPTER_WEIGHTS_NAME).unlink()
    (adapted / "adapter_model.bin").write_bytes(b"cos\nsystem\n")
    assert "adapter_model.bin can run code and is never opened" in refused(adapted)


@pytest.mark.parametrize(
    ("name", "message"),
    [(ADAPTER_CONFIG_NAME, "is not valid JSON"), (ADAPTER_WEIGHTS_NAME, "truncated or not a")],
)
def test_damaged_adapter(adapted: Path, name: str, message: str) -> None:
    (adapted / name).write_bytes(b"{")
    text = refused(adapted)
    assert name in text
    assert message in text
