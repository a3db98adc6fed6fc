import json
import math
from pathlib import Path
from typing import Any

import pytest

from granite_mlx.errors import CheckpointError, UnsupportedModelError
from granite_mlx.model.adapter_config import parse_adapter_config

PLAIN: dict[str, Any] = {"peft_type": "LORA", "r": 8, "lora_alpha": 12, "bias": "none"}
Q_PROJ = "language_model.model.layers.10.self_attn.q_proj"


def test_what_peft_writes(data_dir: Path) -> None:
    """Every setting of peft 0.21, most of them at the value that switches them off."""
    raw = json.loads((data_dir / "adapter" / "plain" / "adapter_config.json").read_text())
    config = parse_adapter_config(raw)
    assert (config.rank, config.alpha, config.rank_stabilised) == (4, 6.0, False)
    assert config.scale_of(Q_PROJ) == 1.5
    assert len(raw) > 35


def test_older_configs_have_fewer_settings() -> None:
    assert parse_adapter_config(PLAIN).scale_of(Q_PROJ) == 1.5


def test_rank_stabilised_scale() -> None:
    assert parse_adapter_config(PLAIN | {"use_rslora": True}).scale_of(Q_PROJ) == 12 / math.sqrt(8)


@pytest.mark.parametrize(
    ("pattern", "fits"),
    [
        ("q_proj", True),
        ("self_attn.q_proj", True),
        (r"layers\.\d+\.self_attn\.[qk]_proj", True),
        ("^language_model.*q_proj", True),
        ("proj", False),  # no whole part of the path
        ("self_attn", False),  # not at its end
        (r"layers\.1\..*", False),
    ],
)
def test_patterns(pattern: str, fits: bool) -> None:
    config = parse_adapter_config(
        PLAIN | {"rank_pattern": {pattern: 2}, "alpha_pattern": {pattern: 5}}
    )
    assert config.rank_of(Q_PROJ) == (2 if fits else 8)
    assert config.scale_of(Q_PROJ) == (2.5 if fits else 1.5)


def test_the_first_pattern_that_fits_counts() -> None:
    config = parse_adapter_config(PLAIN | {"rank_pattern": {"k_proj": 1, ".*q_proj": 3, Q_PROJ: 5}})
    assert config.rank_of(Q_PROJ) == 3
    assert config.scale_of(Q_PROJ) == 4.0


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("peft_type", "IA3"),
        ("use_dora", True),
        ("bias", "lora_only"),
        ("lora_bias", True),
        ("modules_to_save", ["lm_head"]),
        ("fan_in_fan_out", True),
        ("target_parameters", ["mlp.experts.down_proj"]),
        ("trainable_token_indices", [1, 2]),
        ("layer_replication", [[0, 4]]),
        ("alora_invocation_tokens", [7]),
        ("init_lora_weights", "pissa_niter_4"),
        ("init_lora_weights", "olora"),
        ("use_qalora", True),
        ("a_setting_of_a_later_peft", {"strength": 2}),
    ],
)
def test_what_cannot_be_merged_is_named(key: str, value: Any) -> None:
    with pytest.raises(UnsupportedModelError) as caught:
        parse_adapter_config(PLAIN | {key: value})
    assert str(caught.value).startswith(f"adapter_config.json: {key} is {value!r}, and ")
    assert "peft" in str(caught.value)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("init_lora_weights", False),
        ("init_lora_weights", "gaussian"),
        ("lora_dropout", 0.05),
        ("task_type", "CAUSAL_LM"),
        ("exclude_modules", ["encoder"]),
        ("layers_to_transform", [1, 2]),
        ("a_setting_of_a_later_peft", None),
        ("another_setting_of_a_later_peft", {}),
    ],
)
def test_what_does_not_change_the_arithmetic(key: str, value: Any) -> None:
    assert parse_adapter_config(PLAIN | {key: value}) == parse_adapter_config(PLAIN)


@pytest.mark.parametrize("key", ["peft_type", "r", "lora_alpha"])
def test_missing_keys_are_named(key: str) -> None:
    raw = {name: value for name, value in PLAIN.items() if name != key}
    with pytest.raises(CheckpointError, match=rf"adapter_config.json: {key} is missing"):
        parse_adapter_config(raw)


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("r", 0, "r must be an integer of 1 or more, not 0"),
        ("r", "8", "r must be an integer"),
        ("r", True, "r must be an integer"),
        ("lora_alpha", "16", "lora_alpha must be a number, not '16'"),
        ("lora_alpha", math.nan, "lora_alpha must be a number"),
        ("use_rslora", 1, "use_rslora must be true or false"),
        ("rank_pattern", ["q_proj"], "rank_pattern must be an object"),
        ("rank_pattern", {"q_proj": 0.5}, r"rank_pattern\['q_proj'\] must be an integer"),
        ("alpha_pattern", {"q_proj": None}, r"alpha_pattern\['q_proj'\] must be a number"),
        ("alpha_pattern", {"q_(proj": 4}, r"alpha_pattern has 'q_\(proj', which is no regular"),
        (
            "rank_pattern",
            {"(?i)q_proj": 3},
            r"rank_pattern has '\(\?i\)q_proj', which is no regular",
        ),
    ],
)
def test_ill_typed_values_are_named(key: str, value: Any, message: str) -> None:
    with pytest.raises(CheckpointError, match=f"adapter_config.json: {message}"):
        parse_adapter_config(PLAIN | {key: value})
