"""Modules that compute with quantised matrices, in place of floating ones."""

from typing import Any

import mlx.core as mx
import pytest

from granite_mlx.errors import CheckpointError
from granite_mlx.model.config import parse_config
from granite_mlx.model.quantisation import (
    QuantFormat,
    quantise_modules,
)
from granite_mlx.model.speech_model import SpeechModel

from .quantised import EVERY_FORMAT, HEAD, Q8, QUANTISABLE
from .tiny import changed


def model(config: Any = QUANTISABLE) -> SpeechModel:
    return SpeechModel(parse_config(config))


@EVERY_FORMAT
def test_modules_that_are_quantised(format: QuantFormat) -> None:
    modules = [
        "encoder.layers.1.ff2.down_proj",
        "encoder.layers.2.conv.up_conv",
        "projector.linear" if format.group_size < 128 else "encoder.layers.1.attn.to_q",
        "language_model.model.embed_tokens" if format.group_size < 128 else "encoder.out",
    ]
    quantised, floating = model(), model()
    quantise_modules(quantised, dict.fromkeys(modules, format))
    before = dict(floating.named_parameters())
    after = dict(quantised.named_parameters())
    for module in modules:
        matrix = before.pop(f"{module}.weight")
        for part, (dtype, shape) in format.stored(matrix.shape, "F32").items():
            array = after.pop(f"{module}.{part}")
            assert array.shape == shape
            assert array.dtype == {"U32": mx.uint32, "U8": mx.uint8, "F32": mx.float32}[dtype]
    assert {name: a.shape for name, a in after.items()} == {n: a.shape for n, a in before.items()}


def test_no_module_is_quantised() -> None:
    changed_model = model()
    quantise_modules(changed_model, {})
    assert [name for name, _ in changed_model.named_parameters()] == [
        name for name, _ in model().named_parameters()
    ]


@pytest.mark.parametrize(
    "module",
    [
        "encoder.layers.3.ff1.up_proj",  # there are three, from 0 on
        "encoder.layers.1.attn.rel_pos_emb",
        "encoder.layers.1.attn.pre_norm",
        "encoder.layers.1.conv.depth_conv.conv",
        "encoder.layers.1",
        "language_model.model.lm_head",
        "lora",
        "",
    ],
)
def test_modules_that_cannot_be_quantised(module: str) -> None:
    with pytest.raises(
        CheckpointError, match=rf"holds {module}\.scales, but {module} is no matrix"
    ):
        quantise_modules(model(), {module: QuantFormat(8, 32)})


def test_widths_that_do_not_divide_are_named() -> None:
    message = r"encoder\.input_linear\.scales, .* 160 columns .* affine 8 bits, groups of 64"
    with pytest.raises(CheckpointError, match=message):
        quantise_modules(model(), {"encoder.input_linear": Q8})


def test_a_tied_head_is_left_alone() -> None:
    tied = model(changed("tie_word_embeddings", True, QUANTISABLE))
    quantise_modules(tied, {HEAD: Q8})
    assert not [name for name, _ in tied.named_parameters() if HEAD in name]
