"""Quantised folders through the public API: the tiny model, and the demo checkpoint."""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import mlx.core as mx
import pytest

import granite_mlx
from granite_mlx import CheckpointError
from granite_mlx.model.quantisation import MODES, QuantFormat
from granite_mlx.selftest.random_weights import random_signal

from .model.quantised import (
    QUANTISABLE,
    dequantised_tensors,
    floating_tensors,
    in_config,
    quantisable,
    quantised_tensors,
    write_quantised,
)
from .model.tiny import write_checkpoint, write_weights

RATE = 16_000
SECOND = random_signal(RATE)
QUARTER = SECOND[: RATE // 4]  # products in float16 take MLX long on a CPU
EVERY_MODE = pytest.mark.parametrize("format", MODES.values(), ids=MODES)


def heard(folder: Path, **options: Any) -> str:
    """What the tiny model in a folder makes of a second of signal."""
    with granite_mlx.load(folder, **options) as model:
        return model.transcribe(SECOND, sample_rate=RATE, max_new_tokens=12).text


@EVERY_MODE
def test_the_text_is_that_of_the_stored_values(tmp_path: Path, format: QuantFormat) -> None:
    formats = write_quantised(tmp_path / "quantised", format)
    tensors = dequantised_tensors(floating_tensors(), formats)
    floating = write_checkpoint(tmp_path / "floating", config=QUANTISABLE, tensors=tensors)
    assert heard(tmp_path / "quantised") == heard(floating) != ""


@pytest.mark.slow
@EVERY_MODE
@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
def test_any_type_can_be_asked_for(
    tmp_path: Path, format: QuantFormat, dtype: str, unguarded: None
) -> None:
    write_quantised(tmp_path, format, dtype="BF16")
    with granite_mlx.load(tmp_path, dtype=dtype) as model:
        assert model.dtype == dtype
        assert model.transcribe(QUARTER, sample_rate=RATE, max_new_tokens=4).text


def test_memory_is_counted_as_stored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_quantised(tmp_path, QuantFormat(4, 64), dtype="BF16")
    needed: list[int] = []
    monkeypatch.setattr("granite_mlx.loading.check_memory", lambda n, *_, **__: needed.append(n))
    with granite_mlx.load(tmp_path) as model:
        held = sum(array.nbytes for _, array in model.network.named_parameters())
    assert needed == [held]


@pytest.mark.parametrize(
    ("quantization", "message"),
    [
        (None, r"model\.safetensors: .*\.scales .* config\.json has no quantization"),
        ({"bits": 8}, r"config\.json: quantization\.group_size is missing"),
        ({"bits": 4, "group_size": 64}, r"model\.safetensors: .* has the shape"),
        ({"bits": 8, "group_size": 32}, r"model\.safetensors: .* has the shape"),
        ({"bits": 9, "group_size": 64}, r"config\.json: quantization: .* not 9 bits"),
    ],
)
def test_what_is_wrong_shows_before_weights_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, quantization: Any, message: str
) -> None:
    def load_weights(*args: Any) -> None:
        raise AssertionError("the weights were read")

    monkeypatch.setattr("granite_mlx.loading.load_weights", load_weights)
    write_quantised(tmp_path, QuantFormat(8, 64))
    config = {**QUANTISABLE, "quantization": quantization}
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(CheckpointError, match=message) as caught:
        granite_mlx.load(tmp_path)
    assert "\n" not in str(caught.value)


# The demo checkpoint


def demo_formats(tensors: Mapping[str, mx.array], **formats: QuantFormat) -> Any:
    """Every matrix that fits the format of its room."""
    return {
        module: format
        for room, format in formats.items()
        for module in quantisable(tensors, format)
        if module.startswith(room)
    }


@pytest.mark.parametrize(
    "rooms",
    [
        dict.fromkeys(("encoder", "projector", "language_model"), QuantFormat(8, 64)),
        {
            "encoder": MODES["mxfp8"],
            "projector": QuantFormat(6, 32),
            "language_model": MODES["nvfp4"],
        },
    ],
    ids=["8 bits", "mixed"],
)
def test_the_demo_checkpoint(
    demo_checkpoint: Path, tmp_path: Path, rooms: dict[str, QuantFormat]
) -> None:
    recording = demo_checkpoint / "examples" / "digits.flac"
    tensors = mx.load(str(demo_checkpoint / "model.safetensors"))
    formats = demo_formats(tensors, **rooms)
    assert {"encoder.out", "language_model.model.embed_tokens"} <= formats.keys()
    config = json.loads((demo_checkpoint / "config.json").read_text())

    quantised = tmp_path / "quantised"
    _write_demo(demo_checkpoint, quantised, in_config(formats, config))
    write_weights(quantised, quantised_tensors(tensors, formats))
    floating = tmp_path / "floating"
    _write_demo(demo_checkpoint, floating, config)
    write_weights(floating, dequantised_tensors(tensors, formats))

    texts = {}
    for folder in (demo_checkpoint, quantised, floating):
        with granite_mlx.load(folder, dtype="float32") as model:
            texts[folder] = model.transcribe(recording).text
    assert texts[quantised] == texts[floating] != ""
    if formats["language_model.model.embed_tokens"].bits == 8:
        assert texts[quantised] == texts[demo_checkpoint]


def _write_demo(source: Path, folder: Path, config: Mapping[str, Any]) -> None:
    """The demo's folder with another config.json and without weights."""
    shutil.copytree(source, folder, ignore=shutil.ignore_patterns("*.safetensors", "examples"))
    (folder / "config.json").write_text(json.dumps(config))
