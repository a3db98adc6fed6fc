import json
import math
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import mlx.core as mx
import pytest
from mlx import nn

from granite_mlx.errors import CheckpointError
from granite_mlx.model.config import parse_config
from granite_mlx.model.quantisation import quantise_modules
from granite_mlx.model.shards import ITEM_BYTES, read_headers
from granite_mlx.model.sources import ported
from granite_mlx.model.speech_model import SpeechModel
from granite_mlx.model.weights import (
    DTYPES,
    check_tensors,
    load_weights,
    stored_dtype,
    weights_bytes,
)

from .tiny import (
    CONFIG,
    LAYOUTS,
    changed,
    network,
    published_tensors,
    renamed,
    write_checkpoint,
    write_weights,
)

TIED = changed("tie_word_embeddings", True)
HEAD = "language_model.lm_head.weight"
EMBEDDINGS = "language_model.model.embed_tokens.weight"


def loaded(folder: Path, dtype: str | None = None) -> SpeechModel:
    """The network in a checkpoint folder, as `granite_mlx.load` reads it."""
    model = SpeechModel(parse_config(json.loads((folder / "config.json").read_text())))
    headers = read_headers(folder)
    check_tensors(model, headers)
    load_weights(model, headers, DTYPES[dtype or stored_dtype(headers)])
    return model


def assert_same(model: SpeechModel, wanted: SpeechModel) -> None:
    named = dict(wanted.named_parameters())
    assert {name for name, _ in model.named_parameters()} == set(named)
    for name, array in model.named_parameters():
        assert array.dtype == named[name].dtype, name
        assert mx.array_equal(array, named[name]).item(), name


def refused(folder: Path) -> str:
    """The message of the error that a checkpoint is refused with, before any weight is read."""
    model = SpeechModel(parse_config(json.loads((folder / "config.json").read_text())))
    with pytest.raises(CheckpointError) as caught:
        check_tensors(model, read_headers(folder))
    return str(caught.value)


# What can be loaded


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("n_shards", [1, 3])
@pytest.mark.parametrize("tied", [False, True])
def test_every_layout(tmp_path: Path, layout: str, n_shards: int, tied: bool) -> None:
    config = TIED if tied else CONFIG
    write_checkpoint(tmp_path, config=config, layout=layout, n_shards=n_shards)
    assert_same(loaded(tmp_path), network(config=config))


def test_loading_can_be_ended_between_layers(tmp_path: Path) -> None:
    write_checkpoint(tmp_path)
    model, headers = SpeechModel(parse_config(CONFIG)), read_headers(tmp_path)
    n_layers: list[int] = []
    load_weights(model, headers, mx.float32, ported, lambda: n_layers.append(1))
    layers = ("encoder_config.num_layers", "projector_config.num_hidden_layers")
    assert len(n_layers) > sum(CONFIG[s][k] for s, k in (path.split(".") for path in layers))

    def stop() -> None:
        raise KeyError("enough")

    with pytest.raises(KeyError, match="enough"):
        load_weights(SpeechModel(parse_config(CONFIG)), headers, mx.float32, ported, stop)


@pytest.mark.parametrize(
    ("stored", "dtype"), [("F32", "float32"), ("F16", "float16"), ("BF16", "bfloat16")]
)
def test_the_stored_type_is_kept(tmp_path: Path, stored: str, dtype: str) -> None:
    write_checkpoint(tmp_path, dtype=stored)
    assert stored_dtype(read_headers(tmp_path)) == dtype
    model = loaded(tmp_path)
    assert model.dtype == DTYPES[dtype]
    assert {array.dtype for _, array in model.named_parameters()} == {DTYPES[dtype]}


@pytest.mark.parametrize("stored", ["F32", "BF16"])
@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_another_type_on_request(tmp_path: Path, stored: str, dtype: str) -> None:
    write_checkpoint(tmp_path, dtype=stored)
    model = loaded(tmp_path, dtype)
    assert {array.dtype for _, array in model.named_parameters()} == {DTYPES[dtype]}


def test_the_type_of_most_bytes_counts(tmp_path: Path) -> None:
    tensors = {
        name: array if array.ndim < 2 else array.astype(mx.bfloat16)
        for name, array in published_tensors().items()
    }
    write_weights(tmp_path, tensors)
    assert sum(array.dtype == mx.float32 for array in tensors.values()) > len(tensors) / 2
    assert stored_dtype(read_headers(tmp_path)) == "bfloat16"


def test_a_checkpoint_of_integers(tmp_path: Path) -> None:
    write_weights(tmp_path, {"a": mx.array([1, 2])})
    with pytest.raises(CheckpointError, match="BF16, F16 or F32"):
        stored_dtype(read_headers(tmp_path))


def test_convolutions_as_mlx_has_them(tmp_path: Path) -> None:
    write_checkpoint(tmp_path, tensors=published_tensors(mlx_convolutions=True))
    assert_same(loaded(tmp_path), network())


def test_counters_of_training_are_not_needed(tmp_path: Path) -> None:
    tensors = published_tensors()
    counters = [name for name in tensors if name.endswith("num_batches_tracked")]
    assert counters
    write_checkpoint(
        tmp_path, tensors={name: array for name, array in tensors.items() if name not in counters}
    )
    assert_same(loaded(tmp_path), network())


@pytest.mark.parametrize(("dtype", "item_bytes"), [("float32", 4), ("bfloat16", 2)])
def test_bytes_are_counted_from_shapes(dtype: str, item_bytes: int) -> None:
    tensors = published_tensors()
    stored = sum(array.size for name, array in tensors.items() if "num_batches" not in name)
    # BatchNorm's four values a channel become one, the bias.
    channels = 52 * CONFIG["encoder_config"]["num_layers"]
    model = SpeechModel(parse_config(CONFIG))
    assert weights_bytes(model, DTYPES[dtype]) == (stored - 3 * channels) * item_bytes


# Tied heads


def with_head(head: mx.array) -> dict[str, mx.array]:
    return published_tensors(TIED) | {HEAD: head}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_tied_checkpoint_may_carry_its_head(tmp_path: Path, layout: str) -> None:
    tensors = with_head(published_tensors(TIED)[EMBEDDINGS])
    write_checkpoint(tmp_path, config=TIED, tensors=tensors, layout=layout)
    assert_same(loaded(tmp_path), network(config=TIED))


def test_a_tied_head_that_differs(tmp_path: Path) -> None:
    head = published_tensors(TIED)[EMBEDDINGS] * 1  # a copy
    head[-1, -1] += 1
    write_checkpoint(tmp_path, config=TIED, tensors=with_head(head))
    with pytest.raises(CheckpointError, match=r"lm_head\.weight.*tie_word_embeddings"):
        loaded(tmp_path)


def test_a_tied_head_of_another_shape(tmp_path: Path) -> None:
    write_checkpoint(tmp_path, config=TIED, tensors=with_head(mx.zeros((3, 36))))
    with pytest.raises(CheckpointError, match=r"lm_head\.weight"):
        loaded(tmp_path)


def test_an_untied_checkpoint_needs_its_head(tmp_path: Path) -> None:
    write_checkpoint(tmp_path, tensors=published_tensors(TIED))
    assert HEAD in refused(tmp_path)


# What is refused, tensor by tensor

SOME = [
    "encoder.input_linear.weight",
    "encoder.layers.2.attn.rel_pos_emb.weight",
    "encoder.layers.1.conv.up_conv.weight",
    "encoder.layers.1.conv.depth_conv.conv.weight",
    "encoder.layers.0.conv.batch_norm.running_var",
    "encoder.out_mid.bias",
    "projector.query",
    "projector.qformer.encoder.layer.1.crossattention.attention.key.weight",
    "language_model.model.layers.2.mlp.gate_proj.weight",
    HEAD,
]


@pytest.mark.parametrize("name", SOME)
def test_missing_tensors_are_named(tmp_path: Path, name: str) -> None:
    tensors = published_tensors()
    del tensors[name]
    write_checkpoint(tmp_path, tensors=tensors, n_shards=2)
    assert f"lacks the tensor {name}" in refused(tmp_path)


@pytest.mark.parametrize("name", SOME)
def test_misshapen_tensors_are_named(tmp_path: Path, name: str) -> None:
    tensors = published_tensors()
    wanted = list(tensors[name].shape)
    tensors[name] = mx.concatenate([tensors[name], tensors[name]])
    write_checkpoint(tmp_path, tensors=tensors)
    message = refused(tmp_path)
    assert f"model.safetensors: {name} " in message
    assert str(list(tensors[name].shape)) in message
    assert str(wanted) in message


@pytest.mark.parametrize("name", ["encoder.layers.1.conv.up_conv.weight", "encoder.out.weight"])
def test_transposed_tensors_are_named(tmp_path: Path, name: str) -> None:
    tensors = published_tensors()
    tensors[name] = tensors[name].swapaxes(0, 1)
    write_checkpoint(tmp_path, tensors=tensors)
    assert name in refused(tmp_path)


@pytest.mark.parametrize("name", SOME)
@pytest.mark.parametrize("dtype", [mx.int32, mx.int64, mx.uint8])
def test_integers_in_a_weights_place_are_named(tmp_path: Path, name: str, dtype: mx.Dtype) -> None:
    tensors = published_tensors()
    tensors[name] = tensors[name].astype(dtype)
    write_checkpoint(tmp_path, tensors=tensors)
    message = refused(tmp_path)
    assert name in message
    assert "BF16, F16 and F32" in message


@pytest.mark.parametrize(
    "name",
    ["encoder.layers.3.ff1.up_proj.weight", "language_model.model.layers.0.self_attn.q_proj.bias",
     "lora.weight"],
)  # fmt: skip
def test_extra_tensors_are_named(tmp_path: Path, name: str) -> None:
    write_checkpoint(tmp_path, tensors=published_tensors() | {name: mx.ones((3, 3))})
    assert f"{name} is no part of the model" in refused(tmp_path)


@pytest.mark.parametrize("name", SOME)
def test_tensors_in_two_layouts_are_named(tmp_path: Path, name: str) -> None:
    other = renamed(name, "modules")
    tensors = published_tensors()
    write_checkpoint(tmp_path, tensors=tensors | {other: tensors[name]})
    message = refused(tmp_path)
    assert name in message
    assert other in message
    assert "twice" in message


# Memory

PEAK = """
import json, sys
from pathlib import Path
import mlx.core as mx
from granite_mlx.bench.memory import peak_resident_bytes
from granite_mlx.model.config import parse_config
from granite_mlx.model.quantisation import quantise_modules, quantised_formats
from granite_mlx.model.shards import read_headers
from granite_mlx.model.sources import dequantised, ported
from granite_mlx.model.speech_model import SpeechModel
from granite_mlx.model.weights import DTYPES, check_tensors, load_weights

folder, dtype = Path(sys.argv[1]), DTYPES[sys.argv[2]]
config = parse_config(json.loads((folder / "config.json").read_text()))
model, headers = SpeechModel(config), read_headers(folder)
formats = quantised_formats(config.quantisation, headers)
if sys.argv[3] == "floating":
    source_of = dequantised(formats)
else:
    source_of = ported
    quantise_modules(model, formats)
check_tensors(model, headers, source_of)
mx.eval(mx.ones((8, 8)) @ mx.ones((8, 8)))  # what MLX takes for itself
before = peak_resident_bytes()
load_weights(model, headers, dtype, source_of)
print(peak_resident_bytes() - before, sum(array.nbytes for _, array in model.named_parameters()))
"""


MANY_LAYERS = {
    "num_hidden_layers": 24,
    "hidden_size": 512,
    "intermediate_size": 1024,
    "num_attention_heads": 8,
    "num_key_value_heads": 4,
    "vocab_size": 2000,
}
LAYER_PARAMETERS = 3 * 512 * 512 + 3 * 512 * 1024 + 2 * 512
SLACK_BYTES = 40_000_000
"""Well under what the checkpoint takes, so that keeping it beside the model would show."""


def write_zeros(folder: Path, config: dict[str, Any], dtype: str) -> None:
    """A checkpoint of zeros that takes no room on the disk: its file is one hole.

    With "quantization" in `config` the decoder's matrices are stored so; `dtype` is that of all
    that stays floating.
    """
    parsed = parse_config(config)
    model = SpeechModel(parsed)
    if parsed.quantisation is not None:
        formats = {
            path: parsed.quantisation.default
            for path, module in model.language_model.named_modules()
            if isinstance(module, nn.Linear | nn.Embedding)
        }
        quantise_modules(model, {f"language_model.{path}": f for path, f in formats.items()})
    header: dict[str, Any] = {}
    position = 0
    for ours, array in model.named_parameters():
        for name, wanted in ported(ours, array).wanted.items():
            if name not in header:
                shape, stored = wanted.shapes[0], dtype if dtype in wanted.dtypes else "U32"
                end = position + math.prod(shape) * ITEM_BYTES[stored]
                entry = {"dtype": stored, "shape": shape, "data_offsets": [position, end]}
                header[name], position = entry, end
    content = json.dumps(header).encode()
    path = folder / "model.safetensors"
    path.write_bytes(len(content).to_bytes(8, "little") + content)
    os.truncate(path, 8 + len(content) + position)
    (folder / "config.json").write_text(json.dumps(config))


Q8_BYTES = 1 + 2 * 2 / 64
"""Of a weight at 8 bits, with a scale and a bias in bfloat16 for each 64."""


@pytest.mark.parametrize(
    ("stored", "quantised", "item_bytes", "dtype", "model", "final_item_bytes"),
    [
        ("F32", False, 4, "bfloat16", "as stored", 2),
        ("BF16", False, 2, "float32", "as stored", 4),
        ("BF16", True, Q8_BYTES, "bfloat16", "as stored", Q8_BYTES),
        ("BF16", True, Q8_BYTES, "float32", "floating", 4),
    ],
)
def test_peak_memory_is_the_model_and_one_layer(
    tmp_path: Path,
    stored: str,
    quantised: bool,
    item_bytes: float,
    dtype: str,
    model: str,
    final_item_bytes: float,
) -> None:
    config = changed("text_config", CONFIG["text_config"] | MANY_LAYERS)
    if quantised:
        config["quantization"] = {"bits": 8, "group_size": 64}
    write_zeros(tmp_path, config, stored)
    assert (tmp_path / "model.safetensors").stat().st_size > 110_000_000 * item_bytes / 2
    command = [sys.executable, "-c", PEAK, str(tmp_path), dtype, model]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    grown_bytes, model_bytes = map(int, output.split())
    layer_bytes = LAYER_PARAMETERS * (item_bytes + final_item_bytes)
    assert model_bytes > 110_000_000 * final_item_bytes / 2
    if sys.platform == "linux":  # a Mac may not count what Metal holds
        assert model_bytes <= grown_bytes * 1.05  # the measure sees the weights at all
    assert grown_bytes < model_bytes + layer_bytes + SLACK_BYTES
