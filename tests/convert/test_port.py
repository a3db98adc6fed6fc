import copy
import math
from typing import Any

import mlx.core as mx
import numpy as np
import pytest

from granite_mlx.convert import port
from granite_mlx.model.config import parse_config
from granite_mlx.model.encoder import DepthwiseConv
from granite_mlx.model.speech_model import SpeechModel
from granite_mlx.selftest import stages

from ..model.tiny import CONFIG, LAYOUTS, published_tensors, renamed

DEPTHWISE = "encoder.layers.0.conv.depth_conv.conv."
NORM = "encoder.layers.0.conv.batch_norm."


def published_shapes(config: dict[str, Any]) -> dict[str, port.Shape]:
    """Every tensor that a model of this configuration needs, with its shape in PyTorch."""
    model = SpeechModel(parse_config(config))
    return {
        name: shapes[0]
        for ours, array in model.named_parameters()
        for name, shapes in port.sources(ours, tuple(array.shape)).items()
    }


def test_the_published_checkpoint_has_these_tensors() -> None:
    """Counts and bytes of ibm-granite/granite-4.0-1b-speech."""
    config = copy.deepcopy(stages.CONFIG) | {"audio_token_index": 100352}
    config["encoder_config"]["num_layers"] = 16
    config["text_config"] |= {"num_hidden_layers": 40, "vocab_size": 100353}
    shapes = published_shapes(config)
    counters = [name for name in shapes if name.endswith("running_mean")]
    counts = [sum(name.startswith(part) for name in shapes) for part in ("l", "e", "p")]
    assert counts == [363, 534 - len(counters), 57]
    assert len(shapes) + len(counters) == 954
    n_bytes = 2 * sum(map(math.prod, shapes.values())) + 8 * len(counters)
    header_bytes = 4_626_527_776 - n_bytes  # of the three files
    assert 100 < header_bytes / 954 < 140


def test_a_layer_has_the_published_names() -> None:
    names = {name for name in published_shapes(CONFIG) if name.startswith("encoder.layers.2.conv.")}
    assert names == {
        f"encoder.layers.2.conv.{name}"
        for name in (
            "norm.weight norm.bias up_conv.weight up_conv.bias down_conv.weight down_conv.bias "
            "depth_conv.conv.weight batch_norm.weight batch_norm.bias batch_norm.running_mean "
            "batch_norm.running_var"
        ).split()
    }


def test_ported_names_are_the_published_ones() -> None:
    model = SpeechModel(parse_config(CONFIG))
    ours = [(name, tuple(array.shape)) for name, array in model.named_parameters()]
    counters = {name for name in published_tensors() if port.is_ignored(name)}
    needed = {name for tensor, shape in ours for name in port.sources(tensor, shape)}
    assert needed == set(published_tensors()) - counters
    assert len(counters) == CONFIG["encoder_config"]["num_layers"]


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_leads_to_the_published_names(layout: str) -> None:
    for name in published_tensors():
        assert port.published_name(renamed(name, layout)) == name


@pytest.mark.parametrize(
    ("name", "published"),
    [
        ("lm_head.weight", "language_model.lm_head.weight"),
        ("model.encoder.out.bias", "encoder.out.bias"),
        ("model.projector.query", "projector.query"),
        ("model.language_model.norm.weight", "language_model.model.norm.weight"),
        ("model.language_model.layers.3.mlp.up_proj.weight",
         "language_model.model.layers.3.mlp.up_proj.weight"),
        ("language_model.model.model.norm.weight", "language_model.model.norm.weight"),
        ("language_model.model.lm_head.weight", "language_model.lm_head.weight"),
        ("language_model.model.norm.weight", "language_model.model.norm.weight"),
        ("something.else", "something.else"),
    ],
)  # fmt: skip
def test_names(name: str, published: str) -> None:
    assert port.published_name(name) == published


# Layouts


def test_convolutions_in_either_layout_are_the_same() -> None:
    theirs, mlx = published_tensors(), published_tensors(mlx_convolutions=True)
    differing = {name for name in theirs if theirs[name].shape != mlx[name].shape}
    model = SpeechModel(parse_config(CONFIG))
    tested = set()
    for ours, array in model.named_parameters():
        shape = tuple(array.shape)
        allowed = port.sources(ours, shape)
        if not differing & set(allowed):
            continue
        for tensors in (theirs, mlx):
            assert all(tuple(tensors[name].shape) in shapes for name, shapes in allowed.items())
        assert mx.array_equal(
            port.assemble(ours, shape, theirs), port.assemble(ours, shape, mlx)
        ).item()
        tested |= differing & set(allowed)
    assert tested == differing
    assert len(differing) == 3 * CONFIG["encoder_config"]["num_layers"]


def test_pointwise_convolution_is_a_matrix() -> None:
    name = "encoder.layers.1.conv.up_conv.weight"
    matrix = mx.arange(15).reshape(5, 3)
    for shape in port.sources(name, (5, 3))[name]:
        assert mx.array_equal(port.assemble(name, (5, 3), {name: matrix.reshape(shape)}), matrix)


# BatchNorm


def batch_norm_tensors(channels: int, kernel: int, dtype: mx.Dtype) -> dict[str, mx.array]:
    rng = np.random.default_rng(7)
    values = {
        DEPTHWISE + "weight": rng.normal(size=(channels, 1, kernel)),
        NORM + "weight": rng.normal(1, 0.5, channels),
        NORM + "bias": rng.normal(size=channels),
        NORM + "running_mean": rng.normal(0, 3, channels),
        NORM + "running_var": rng.uniform(1e-6, 4, channels),
    }
    return {name: mx.array(value).astype(dtype) for name, value in values.items()}


def folded(tensors: dict[str, mx.array], channels: int, kernel: int) -> tuple[mx.array, mx.array]:
    return (
        port.assemble(DEPTHWISE + "weight", (channels, kernel, 1), tensors),
        port.assemble(DEPTHWISE + "bias", (channels,), tensors),
    )


def test_folded_batch_norm_is_exact() -> None:
    channels, kernel, n_frames = 52, 5, 9
    tensors = batch_norm_tensors(channels, kernel, mx.float32)
    x = np.random.default_rng(8).normal(size=(2, n_frames, channels)).astype(np.float32)

    # By hand and in float64: a cross-correlation per channel, then BatchNorm as it is defined.
    exact = {name: np.array(value).astype(np.float64) for name, value in tensors.items()}
    padded = np.pad(x.astype(np.float64), [(0, 0), (kernel // 2, kernel // 2), (0, 0)])
    convolved = np.zeros((2, n_frames, channels))
    for t in range(n_frames):
        for k in range(kernel):
            convolved[:, t] += padded[:, t + k] * exact[DEPTHWISE + "weight"][:, 0, k]
    norm = {key.removeprefix(NORM): value for key, value in exact.items()}
    wanted = (convolved - norm["running_mean"]) / np.sqrt(norm["running_var"] + 1e-5)
    wanted = wanted * norm["weight"] + norm["bias"]

    conv = DepthwiseConv(parse_config(CONFIG).encoder)
    weight, bias = folded(tensors, channels, kernel)
    conv.load_weights([("conv.weight", weight), ("conv.bias", bias)])
    got = conv(mx.array(padded.astype(np.float32)))
    np.testing.assert_allclose(np.array(got), wanted, rtol=2e-5, atol=2e-4)


@pytest.mark.parametrize("dtype", [mx.float16, mx.bfloat16])
def test_half_precision_is_folded_in_float32(dtype: mx.Dtype) -> None:
    channels, kernel = 52, 5
    tensors = batch_norm_tensors(channels, kernel, dtype)
    in_float32 = {name: value.astype(mx.float32) for name, value in tensors.items()}
    for ours, wanted in zip(
        folded(tensors, channels, kernel), folded(in_float32, channels, kernel), strict=True
    ):
        assert ours.dtype == mx.float32  # rounded once, by whoever casts it
        assert mx.array_equal(ours, wanted).item()
