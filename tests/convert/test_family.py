"""Conversions of the other members of the family, and that they stay what they are."""

import json
from pathlib import Path
from typing import Any

import mlx.core as mx
import pytest

import granite_mlx
from granite_mlx.convert import convert, uniform
from granite_mlx.convert.verify import verify
from granite_mlx.model.checkpoint import Checkpoint
from granite_mlx.model.config import parse_config
from granite_mlx.model.quantisation import QuantFormat
from granite_mlx.selftest.random_weights import random_signal, random_tensor

from ..model.tiny import changed
from .small import CONFIG, small_checkpoint, stored
from .test_verify import noise

Q8 = uniform(QuantFormat(8, 32))
YARN = {"rope_type": "yarn", "factor": 2.0, "original_max_position_embeddings": 256}
YARN_CONFIG = changed("text_config.rope_parameters", YARN, CONFIG)
PLUS_CONFIG = changed("encoder_config.cat_hidden_layers", [1], CONFIG)
PLUS_CONFIG = changed("projector_config.encoder_hidden_size", 128, PLUS_CONFIG)
PLUS_CONFIG["model_type"] = "granite_speech_plus"

MEMBERS = pytest.mark.parametrize(
    ("config", "family"), [(YARN_CONFIG, "5.0"), (PLUS_CONFIG, "4.1-plus")], ids=["yarn", "plus"]
)


def encoded(folder: Path) -> mx.array:
    with granite_mlx.load(folder, dtype="float32") as model:
        features = mx.array(random_tensor("features", (1, 21, 160)))
        frames = model.network.encoder(features).frames
        mx.eval(frames)
        return frames


@MEMBERS
def test_a_member_is_converted_whole(tmp_path: Path, config: dict[str, Any], family: str) -> None:
    source, result = small_checkpoint(tmp_path / "source", config=config), tmp_path / "result"
    manifest = convert(source, result, recipe=Q8)
    assert manifest.family == family
    written = json.loads((result / "config.json").read_text())
    for section in ("encoder_config", "projector_config", "text_config"):
        assert written[section] == config[section]
    assert written["model_type"] == config["model_type"]
    key = "projector.qformer.encoder.layer.0.crossattention.attention.key"
    assert stored(result)[f"{key}.scales"].shape == (64, encoded(source).shape[-1] // 32)
    assert mx.allclose(encoded(result), encoded(source), atol=0.1).item()
    with granite_mlx.load(result) as model:
        assert model.family == family
        assert model.config.text.yarn == parse_config(config).text.yarn
        model.transcribe(random_signal(4000), sample_rate=16_000, max_new_tokens=3)


@MEMBERS
def test_a_member_is_compared_with_its_source(
    tmp_path: Path, config: dict[str, Any], family: str
) -> None:
    folder = small_checkpoint(tmp_path / "source", config=config)
    convert(folder, tmp_path / "result", recipe=Q8)
    found = verify(Checkpoint(folder, "source", None), tmp_path / "result", [noise(1, 6_000)])
    assert 0 < found.outputs_of("decoder").relative_error < 0.2
    assert found.agreement.n_positions > 0


def test_a_member_that_only_its_name_tells_stays_what_it_is(tmp_path: Path) -> None:
    source = small_checkpoint(tmp_path / "granite-speech-4.1-2b")
    convert(source, tmp_path / "mine", recipe=Q8)
    convert(tmp_path / "mine", tmp_path / "granite-4.0", dequantise=True)
    for folder in (source, tmp_path / "mine", tmp_path / "granite-4.0"):
        with granite_mlx.load(folder) as model:
            assert model.family == "4.1"
