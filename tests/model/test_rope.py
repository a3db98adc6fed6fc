"""Rotary positions; those of YaRN against what transformers computes for the same config.json."""

import json
from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np
import pytest

from granite_mlx.model.config import TextConfig, parse_config
from granite_mlx.model.rope import Rotary, yarn_attention_factor, yarn_frequencies

from .tiny import CONFIG

STORED = json.loads((Path(__file__).parents[1] / "data" / "yarn.json").read_text())


def text_config(**keys: Any) -> TextConfig:
    """The tiny text_config with other keys, and without a theta of its own."""
    defaults = {k: v for k, v in CONFIG["text_config"].items() if k != "rope_theta"}
    return parse_config(CONFIG | {"text_config": defaults | keys}).text


@pytest.mark.parametrize("entry", STORED, ids=lambda entry: json.dumps(entry["text_config"]))
def test_yarn_is_that_of_transformers(entry: dict[str, Any]) -> None:
    config = text_config(**entry["text_config"])
    assert config.yarn is not None
    frequencies = yarn_frequencies(config.yarn, config.rope_theta, config.head_dim)
    assert frequencies.dtype == np.float32
    np.testing.assert_allclose(frequencies, entry["frequencies"], rtol=1e-6)
    assert yarn_attention_factor(config.yarn) == pytest.approx(entry["attention_factor"])


def test_the_stored_settings_differ() -> None:
    results = {(tuple(e["frequencies"]), e["attention_factor"]) for e in STORED}
    assert len(results) > len(STORED) - 2


@pytest.mark.parametrize("offset", [0, 5, mx.array([0, 7])])
def test_heads_turn_by_the_frequencies(offset: int | mx.array) -> None:
    config = text_config(rope_parameters={"rope_type": "yarn", "factor": 3.0})
    assert config.yarn is not None
    frequencies = yarn_frequencies(config.yarn, config.rope_theta, config.head_dim)
    x = np.random.default_rng(0).normal(size=(2, 3, 4, config.head_dim)).astype(np.float32)
    positions = np.array(offset).reshape(-1, 1) + np.arange(4)  # (1 or 2, n)
    angles = positions[:, None, :, None] * frequencies
    first, second = np.split(x, 2, axis=-1)
    turned = (first + 1j * second) * np.exp(1j * angles)
    wanted = np.concatenate([turned.real, turned.imag], axis=-1)
    ours = Rotary(config)(mx.array(x), offset)
    np.testing.assert_allclose(np.array(ours), wanted, atol=1e-5)


def test_a_factor_of_one_changes_nothing() -> None:
    x = mx.array(np.random.default_rng(0).normal(size=(1, 2, 9, 6)).astype(np.float32))
    plain = Rotary(text_config())
    yarn = Rotary(text_config(rope_parameters={"rope_type": "yarn", "factor": 1.0}))
    np.testing.assert_allclose(np.array(yarn(x, 3)), np.array(plain(x, 3)), atol=1e-5)
    assert plain.score_factor == yarn.score_factor == 1.0


@pytest.mark.parametrize("dtype", [mx.float16, mx.bfloat16])
def test_the_precision_stays(dtype: mx.Dtype) -> None:
    rotary = Rotary(text_config(rope_parameters={"rope_type": "yarn", "factor": 2.0}))
    assert rotary(mx.ones((1, 2, 3, 6), dtype), 4).dtype == dtype
