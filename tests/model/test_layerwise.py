from pathlib import Path

import mlx.core as mx
import pytest
from mlx.utils import tree_flatten

from granite_mlx.model.cache import DecoderCache
from granite_mlx.model.config import parse_config
from granite_mlx.model.layerwise import PassingLayer, hold_no_layers
from granite_mlx.model.shards import read_headers
from granite_mlx.model.sources import ported
from granite_mlx.model.speech_model import SpeechModel
from granite_mlx.model.stored import StoredTensors
from granite_mlx.model.weights import load_weights, weights_bytes
from granite_mlx.selftest.random_weights import random_tensor

from .tiny import CONFIG, network, write_checkpoint


@pytest.fixture
def layered(tmp_path: Path) -> SpeechModel:
    headers = read_headers(write_checkpoint(tmp_path, n_shards=2))
    model = SpeechModel(parse_config(CONFIG))
    hold_no_layers(model, StoredTensors(headers), mx.float32, ported)
    load_weights(model, headers, mx.float32)
    return model


def outputs(model: SpeechModel) -> list[mx.array]:
    frames = model.encoder(mx.array(random_tensor("features", (1, 19, 160)))).frames
    prompt = model.embed_prompt([4, 5, 6], 1, model.projector(frames)[0])
    cache = DecoderCache(parse_config(CONFIG).text, mx.float32, 1, len(prompt))
    return [frames, model.language_model(prompt[None], cache)]


def test_it_computes_what_the_whole_network_does(layered: SpeechModel) -> None:
    for _ in range(2):  # every run reads the layers anew
        for one, other in zip(outputs(layered), outputs(network()), strict=True):
            assert mx.array_equal(one, other).item()


def test_it_holds_no_layers(layered: SpeechModel) -> None:
    names = [name for name, _ in layered.named_parameters()]
    assert names
    assert not any(".layers." in name for name in names)
    assert weights_bytes(layered, mx.float32) < weights_bytes(network(), mx.float32) / 2


def test_a_layer_lets_its_weights_go(layered: SpeechModel) -> None:
    layer = layered.encoder.layers[0]
    assert isinstance(layer, PassingLayer)
    read: list[mx.array] = []
    values = layer._read

    def remembered(empty: list[tuple[str, mx.array]]) -> list[tuple[str, mx.array]]:
        found = values(empty)
        read.extend(array for _, array in found)
        return found

    layer._read = remembered
    layer(mx.zeros((1, 5, 26)), None)
    held = {id(array) for _, array in tree_flatten(layer._layer.parameters())}
    assert read
    assert held.isdisjoint(map(id, read))
