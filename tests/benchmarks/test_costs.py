"""Counts of operations and bytes, against small cases by hand and the real model's weights."""

import importlib
from collections.abc import Mapping
from dataclasses import replace
from types import ModuleType
from typing import Any

import pytest

from granite_mlx.model.config import EncoderConfig, SpeechConfig, TextConfig, parse_config
from granite_mlx.model.speech_model import SpeechModel

from ..model.tiny import CONFIG


@pytest.fixture(scope="module")
def costs(benchmarks: ModuleType) -> ModuleType:
    return importlib.import_module("benchmarks.costs")


@pytest.fixture(scope="module")
def real(full_size: ModuleType) -> SpeechConfig:
    return parse_config(full_size.real_config())


ENCODER = EncoderConfig(
    input_dim=4, num_layers=2, hidden_dim=6, feedforward_mult=2, num_heads=1, dim_head=3,
    output_dim=5, context_size=2, max_pos_emb=2, conv_kernel_size=3, conv_expansion_factor=2,
)  # fmt: skip


def by_name(products: list[Any]) -> Mapping[str, int]:
    total: dict[str, int] = {}
    for product in products:
        total[product.name] = total.get(product.name, 0) + product.flops
    return total


def test_a_small_encoder_by_hand(costs: ModuleType) -> None:
    # 3 frames: a block of 2 and one of 1.
    assert by_name(costs.encoder_products(ENCODER, 3)) == {
        "input": 2 * 3 * 4 * 6,
        "feed-forward up": 2 * (2 * 2 * 3 * 6 * 12),
        "feed-forward down": 2 * (2 * 2 * 3 * 12 * 6),
        "q, k, v": 2 * (2 * 3 * 6 * 9),
        "attention out": 2 * (2 * 3 * 3 * 6),
        "convolution up": 2 * (2 * 3 * 6 * 24),
        "convolution down": 2 * (2 * 3 * 12 * 6),
        "scores": 2 * (2 * 3 * (2 * 2 + 1 * 1)),
        "positions": 2 * (2 * 3 * (2 * 3 + 1 * 1)),
        "values": 2 * (2 * 3 * (2 * 2 + 1 * 1)),
        "CTC": 2 * 3 * 6 * 5,
        "CTC back": 2 * 3 * 5 * 6,
    }
    assert costs.depthwise_flops(ENCODER, 3) == 2 * (2 * 3 * 12 * 3)


@pytest.mark.parametrize(
    ("n_frames", "blocks"), [(1, [(1, 1)]), (2, [(2, 1)]), (5, [(2, 2), (1, 1)]), (4, [(2, 2)])]
)
def test_blocks(costs: ModuleType, n_frames: int, blocks: list[tuple[int, int]]) -> None:
    assert list(costs.blocks(n_frames, 2)) == blocks


def test_a_small_decoder_by_hand(costs: ModuleType) -> None:
    text = TextConfig(
        vocab_size=7, hidden_size=4, intermediate_size=6, num_hidden_layers=3,
        num_attention_heads=2, num_key_value_heads=1, max_position_embeddings=64, rms_norm_eps=1e-5,
        embedding_multiplier=1, attention_multiplier=1, residual_multiplier=1, logits_scaling=1,
        eos_token_id=0,
    )  # fmt: skip
    # 2 new tokens behind 5: the first sees 6 keys, the second 7.
    assert by_name(costs.decoder_products(text, 2, 5)) == {
        "q, o": 3 * 2 * (2 * 2 * 4 * 4),
        "k, v": 3 * 2 * (2 * 2 * 4 * 2),
        "gate, up": 3 * 2 * (2 * 2 * 4 * 6),
        "down": 3 * (2 * 2 * 6 * 4),
        "scores": 3 * 2 * (2 * 2 * 13),
        "values": 3 * 2 * (2 * 2 * 13),
        "head": 2 * 4 * 7,
    }
    weights = 3 * (4 * 4 * 2 + 4 * 2 * 2 + 3 * 4 * 6 + 2 * 4) + 4 + 7 * 4 + 4
    assert costs.decoder_weights(text) == weights
    assert costs.cache_values(text, 10) == 2 * 3 * 1 * 2 * 10
    assert costs.decode_bytes(text, 10, 2) == 2 * (weights + 120)


def test_a_small_projector_by_hand(costs: ModuleType, real: SpeechConfig) -> None:
    small = replace(
        real,
        projector=replace(
            real.projector, hidden_size=4, num_hidden_layers=2, num_attention_heads=2,
            intermediate_size=8, encoder_hidden_size=6,
        ),
        text=replace(real.text, hidden_size=10),
        window_size=5,
        downsample_rate=2,
    )  # fmt: skip
    # 7 frames: 2 windows of 5 frames, 2 queries each.
    assert by_name(costs.projector_products(small, 7)) == {
        "self-attention": 2 * 4 * (2 * 4 * 4 * 4),
        "self scores": 2 * 2 * 2 * (2 * 2 * 2 * 2),
        "self values": 2 * 2 * 2 * (2 * 2 * 2 * 2),
        "cross-attention": 2 * 2 * (2 * 4 * 4 * 4),
        "cross k, v": 2 * 2 * (2 * 10 * 6 * 4),
        "cross scores": 2 * 2 * 2 * (2 * 2 * 2 * 5),
        "cross values": 2 * 2 * 2 * (2 * 2 * 5 * 2),
        "feed-forward up": 2 * (2 * 4 * 4 * 8),
        "feed-forward down": 2 * (2 * 4 * 8 * 4),
        "linear": 2 * 4 * 4 * 10,
    }


@pytest.mark.parametrize("tied", [False, True])
def test_a_token_reads_the_weights_that_the_model_has(costs: ModuleType, tied: bool) -> None:
    config = parse_config(CONFIG | {"tie_word_embeddings": tied})
    names = SpeechModel(config).named_parameters()
    held = {name: array.size for name, array in names if name.startswith("language_model.")}
    table = held["language_model.model.embed_tokens.weight"]
    read = sum(held.values()) - (0 if tied else table) + config.text.hidden_size
    assert costs.decoder_weights(config.text) == read


def test_products_with_weights_use_each_weight_once_a_frame(
    costs: ModuleType, real: SpeechConfig
) -> None:
    """At 1 frame, operations are twice the weights; the last head is not part of the encoder."""
    named = SpeechModel(real).named_parameters()
    matrices = [
        (name, array.size)
        for name, array in named
        if array.ndim == 2 and name.startswith("encoder.") and "rel_pos" not in name
    ]
    attention = {"scores", "positions", "values"}
    products = [p for p in costs.encoder_products(real.encoder, 1) if p.name not in attention]
    assert costs.flops(products) == 2 * sum(size for _, size in matrices)


def test_the_order_of_the_published_models_costs(costs: ModuleType, real: SpeechConfig) -> None:
    """30 s take 1.3 TFLOP in the encoder and 0.9 in a prefill of 320; a token reads 3.3 GB."""
    assert costs.flops(costs.encoder_products(real.encoder, 1500)) == pytest.approx(
        1.3e12, rel=0.05
    )
    assert costs.flops(costs.decoder_products(real.text, 320)) == pytest.approx(0.9e12, rel=0.05)
    assert costs.decode_bytes(real.text, 320, 2) == pytest.approx(3.3e9, rel=0.05)
