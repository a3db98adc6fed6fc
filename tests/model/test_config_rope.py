"""The settings of rotary positions."""

import math
from typing import Any

import pytest

from granite_mlx.errors import UnsupportedModelError
from granite_mlx.model.config import YarnConfig, parse_config

from .test_config import refused
from .tiny import CONFIG, changed


@pytest.mark.parametrize("key", ["rope_parameters", "rope_scaling"])
@pytest.mark.parametrize("type_key", ["rope_type", "type"])
@pytest.mark.parametrize("kind", ["linear", "dynamic", "longrope", "llama3", "proportional", 3])
def test_other_ropes_are_refused_by_name_in_either_place(
    key: str, type_key: str, kind: Any
) -> None:
    rope = {type_key: kind, "factor": 2.0}
    with pytest.raises(UnsupportedModelError, match=f"{key}.*{kind}"):
        parse_config(changed(f"text_config.{key}", rope))


@pytest.mark.parametrize("kind", ["default", "yarn"])
def test_a_rope_of_a_part_of_each_head_is_refused(kind: str) -> None:
    rope = {"rope_type": kind, "factor": 2.0, "partial_rotary_factor": 0.5}
    with pytest.raises(UnsupportedModelError, match=r"partial_rotary_factor is 0\.5"):
        parse_config(changed("text_config.rope_parameters", rope))
    rope["partial_rotary_factor"] = 1.0
    parse_config(changed("text_config.rope_parameters", rope))


def test_a_part_of_each_head_is_refused_outside_of_rope_s_settings_too() -> None:
    with pytest.raises(UnsupportedModelError, match=r"partial_rotary_factor is 0\.5"):
        parse_config(changed("text_config.partial_rotary_factor", 0.5))
    assert parse_config(changed("text_config.partial_rotary_factor", 1.0)) == parse_config(CONFIG)


def test_a_rope_must_be_an_object() -> None:
    assert "text_config.rope_scaling" in refused(changed("text_config.rope_scaling", "yarn"))


@pytest.mark.parametrize("key", ["rope_parameters", "rope_scaling"])
def test_yarn_in_either_place(key: str) -> None:
    rope = {
        "rope_type": "yarn",
        "rope_theta": 500.0,
        "factor": 4,
        "original_max_position_embeddings": 128,
        "attention_factor": 1.25,
        "beta_fast": 16,
        "beta_slow": 2.5,
        "mscale": 0.5,
        "mscale_all_dim": 0.25,
        "truncate": False,
    }
    text = parse_config(changed(f"text_config.{key}", rope)).text
    assert text.rope_theta == 500.0
    assert text.yarn == YarnConfig(4.0, 128, 1.25, 16.0, 2.5, 0.5, 0.25, truncate=False)


def test_what_yarn_leaves_out_follows_from_the_rest() -> None:
    def yarn(**rope: Any) -> YarnConfig | None:
        rope = {"rope_type": "yarn"} | rope
        return parse_config(changed("text_config.rope_parameters", rope)).text.yarn

    assert yarn(factor=4.0) == YarnConfig(4.0, 512)
    assert yarn(original_max_position_embeddings=128) == YarnConfig(4.0, 128)
    assert yarn(factor=2.0, beta_fast=0, beta_slow=None) == YarnConfig(2.0, 512)


@pytest.mark.parametrize(
    ("key", "values"),
    [
        ("factor", [0, -1.0, "2", True, math.nan]),
        ("original_max_position_embeddings", [0, -1, "64", 64.0, True]),
        ("attention_factor", [-1.0, "1", math.inf]),
        ("beta_fast", [-1.0, "32", True]),
        ("truncate", [1, "no"]),
    ],
)
def test_wrong_values_of_yarn_are_named(key: str, values: list[Any]) -> None:
    for value in values:
        rope = {"rope_type": "yarn", "factor": 2.0, key: value}
        message = refused(changed("text_config.rope_parameters", rope))
        assert message.startswith(f"config.json: text_config.rope_parameters.{key} ")
    without_factor = {"rope_type": "yarn", "original_max_position_embeddings": 0}
    assert "original_max" in refused(changed("text_config.rope_parameters", without_factor))
