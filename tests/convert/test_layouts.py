import math
from pathlib import Path
from typing import Any

import pytest

import granite_mlx
from granite_mlx.convert import convert
from granite_mlx.convert.layout import Layout
from granite_mlx.convert.layouts import LAYOUTS
from granite_mlx.convert.plan import plan
from granite_mlx.convert.recipes import uniform
from granite_mlx.errors import ConversionError
from granite_mlx.model.checkpoint import DEMO_FOLDER
from granite_mlx.model.config import parse_config
from granite_mlx.model.folder import read_config
from granite_mlx.model.quantisation import QuantFormat
from granite_mlx.model.shards import read_headers

from ..model.tiny import CONFIG, changed, published_tensors, write_checkpoint


@pytest.fixture
def mlx_audio() -> Layout:
    return LAYOUTS["mlx-audio"]


def test_layouts_go_by_their_names() -> None:
    assert set(LAYOUTS) == {"granite-mlx", "mlx-audio"}
    assert all(layout.name == name for name, layout in LAYOUTS.items())


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
@pytest.mark.parametrize("mlx_convolutions", [False, True])
def test_convolutions_are_stored_as_mlx_has_them(layout: Layout, mlx_convolutions: bool) -> None:
    wanted = published_tensors(mlx_convolutions=True)
    for name, tensor in published_tensors(mlx_convolutions=mlx_convolutions).items():
        assert layout.tensor_name(name) == name
        assert layout.floating_shape(name, tuple(tensor.shape)) == tuple(wanted[name].shape)


def test_mlx_audio_quantises_the_language_model_alone(mlx_audio: Layout) -> None:
    headers = read_headers(DEMO_FOLDER)
    decided = plan(headers, tied=True, recipe=uniform(QuantFormat(8, 64)), layout=mlx_audio)
    quantised = {fate.name for fate in decided.quantised}
    assert quantised == {
        name
        for name, info in headers.items()
        if name.startswith("language_model.") and len(info.shape) == 2
    }
    encoder = next(f for f in decided.fates if f.name == "encoder.layers.0.ff1.up_proj.weight")
    assert "mlx-audio" in encoder.reason


@pytest.mark.parametrize("tied", [True, False])
def test_mlx_audio_is_told_in_its_place_whether_the_head_is_tied(
    mlx_audio: Layout, tied: bool
) -> None:
    config = changed("tie_word_embeddings", tied)
    assert "tie_word_embeddings" not in config["text_config"]
    assert mlx_audio.edit_config(config)["text_config"]["tie_word_embeddings"] is tied


def test_mlx_audio_is_told_what_we_take_by_default(mlx_audio: Layout) -> None:
    config = changed("encoder_config.dim_head", KeyError)
    config["encoder_config"]["num_heads"] = 13
    config["text_config"]["rope_parameters"] = {"rope_type": "default", "rope_theta": 500.0}
    config["audio_token_id"] = config.pop("audio_token_index")
    edited = mlx_audio.edit_config(config)
    assert edited["encoder_config"]["dim_head"] == 2
    assert edited["text_config"]["rope_theta"] == 500.0
    assert edited["audio_token_index"] == CONFIG["audio_token_index"]


YARN = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 128}


def with_yarn(**settings: Any) -> dict[str, Any]:
    return changed("text_config.rope_parameters", {**YARN, **settings})


def test_mlx_audio_is_told_all_of_yarn(mlx_audio: Layout) -> None:
    config = with_yarn(rope_theta=700.0, factor=None, beta_fast=0)
    text = mlx_audio.edit_config(config)["text_config"]
    assert text["rope_theta"] == 700.0
    assert text["rope_scaling"] == {
        "rope_type": "yarn",
        "factor": 4.0,  # from 128 positions to 512
        "original_max_position_embeddings": 128,
        "beta_fast": 32.0,
        "beta_slow": 1.0,
        "truncate": True,
    }


@pytest.mark.parametrize(
    "settings",
    [{"truncate": False}, {"attention_factor": 1.3}, {"mscale": 0.5}, {"mscale_all_dim": 0.5}],
    ids=str,
)
def test_yarn_of_which_mlx_audio_makes_something_else(
    mlx_audio: Layout, tmp_path: Path, settings: dict[str, Any]
) -> None:
    source = write_checkpoint(tmp_path / "source", config=with_yarn(**settings))
    with pytest.raises(ConversionError, match=r"mlx-audio would compute other positions"):
        convert(source, tmp_path / "converted", layout="mlx-audio")
    assert [path.name for path in tmp_path.iterdir()] == ["source"]


MEANT = {
    "tiny": CONFIG,
    "demo": read_config(DEMO_FOLDER),
    "plus": changed(
        "projector_config.encoder_hidden_size", 52, changed("encoder_config.cat_hidden_layers", [1])
    ),
    "YaRN": with_yarn(rope_theta=700.0),
    "YaRN's weights": with_yarn(mscale=1.0, mscale_all_dim=0.7),
    "YaRN's own factor": with_yarn(attention_factor=0.1 * math.log(4) + 1),
}


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
@pytest.mark.parametrize("raw", MEANT.values(), ids=MEANT)
def test_an_edited_config_means_the_same(layout: Layout, raw: dict[str, Any]) -> None:
    assert parse_config(layout.edit_config(dict(raw))) == parse_config(raw)
    assert layout.edit_config(dict(raw)).keys() >= raw.keys()


def test_what_mlx_audio_loads_we_load_too(tmp_path: Path) -> None:
    """tests/convert/test_mlx_audio.py shows that mlx-audio writes the same files."""
    converted = tmp_path / "converted"
    manifest = convert(
        "demo", converted, recipe=uniform(QuantFormat(8, 64)), layout="mlx-audio", dtype="float32"
    )
    assert manifest.layout == "mlx-audio"
    recording = DEMO_FOLDER / "examples" / "digits.flac"
    with granite_mlx.load(converted) as model:
        assert model.transcribe(recording).text == recording.with_suffix(".txt").read_text().strip()
