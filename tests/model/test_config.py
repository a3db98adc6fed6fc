import json
import math
from dataclasses import asdict
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from granite_mlx.errors import CheckpointError, UnsupportedModelError
from granite_mlx.model.config import SpeechConfig, parse_config

from .tiny import CONFIG, changed

SECTIONS = ("encoder_config", "projector_config", "text_config")
KEYS = [f"{section}.{key}" for section in SECTIONS for key in CONFIG[section]]
OPTIONAL = {
    "encoder_config.dim_head",
    "projector_config.layer_norm_eps",
    "projector_config.hidden_act",
    "projector_config.cross_attention_frequency",
    "projector_config.use_qformer_text_input",
    "text_config.hidden_act",
    "text_config.attention_bias",
    "text_config.mlp_bias",
    "text_config.rope_theta",
}
ABSENT: dict[str, dict[str, Any]] = {
    "encoder_config": {"cat_hidden_layers": ()},
    "text_config": {"yarn": None},
}
"""What the default model's config.json says nothing about."""

TOP_INTEGERS = ["audio_token_index", "window_size", "downsample_rate"]

WRONG: dict[type, list[Any]] = {
    int: [True, "8", 8.0, 8.5, -1, [8], {}],
    float: [True, "0.5", math.nan, math.inf, -0.5, [0.5], {}, 10**400],
    bool: [0, 1, "false", []],
    str: [0, True, ["gelu"]],
}


def wrong_values() -> list[tuple[str, Any]]:
    cases = []
    for path in KEYS:
        section, key = path.split(".")
        kind = type(CONFIG[section][key])
        cases += [(path, value) for value in WRONG[kind]]
        if kind is int and not key.endswith("_token_id"):
            cases.append((path, 0))
    cases += [(key, value) for key in TOP_INTEGERS for value in (*WRONG[int], None)]
    cases += [("tie_word_embeddings", value) for value in (*WRONG[bool], None)]
    cases += [("text_config.logits_scaling", 0.0)]
    cases += [("text_config.rope_theta", value) for value in (0.0, 1.0)]
    return cases


def refused(config: dict[str, Any]) -> str:
    """The message of the error that `config` is refused with."""
    with pytest.raises(CheckpointError) as caught:
        parse_config(config)
    return str(caught.value)


def test_every_value_arrives() -> None:
    config = parse_config(CONFIG)
    for section, parsed in zip(
        SECTIONS, (config.encoder, config.projector, config.text), strict=True
    ):
        assert asdict(parsed) == CONFIG[section] | ABSENT.get(section, {})
    assert [getattr(config, key) for key in TOP_INTEGERS] == [CONFIG[k] for k in TOP_INTEGERS]
    assert config.tie_word_embeddings is False


def test_sizes_that_follow_from_others() -> None:
    config = parse_config(CONFIG)
    assert config.encoder.inner_dim == 52
    assert config.text.head_dim == 6
    assert config.n_queries == 2  # of 7 // 3
    assert [config.n_audio_tokens(n) for n in (1, 7, 8, 14, 15)] == [2, 2, 4, 4, 6]


@pytest.mark.parametrize(("path", "value"), wrong_values(), ids=lambda v: repr(v)[:40])
def test_wrong_values_are_named(path: str, value: Any) -> None:
    message = refused(changed(path, value))
    assert message.startswith("config.json: ")
    assert path in message


@pytest.mark.parametrize("path", [*KEYS, *TOP_INTEGERS])
@pytest.mark.parametrize("absent", [KeyError, None])
def test_missing_keys_are_named_or_have_a_default(path: str, absent: Any) -> None:
    config = changed(path, absent)
    if path in OPTIONAL:
        parse_config(config)
    else:
        assert path in refused(config)


@pytest.mark.parametrize("section", SECTIONS)
@pytest.mark.parametrize("value", [KeyError, None, [], "encoder", 1])
def test_sections_must_be_objects(section: str, value: Any) -> None:
    assert section in refused(changed(section, value))


def test_defaults_are_those_of_transformers() -> None:
    config = changed("text_config.rope_theta", KeyError)
    for path in OPTIONAL - {"encoder_config.dim_head"}:
        if path != "text_config.rope_theta":
            config = changed(path, KeyError, config)
    config = changed("encoder_config.dim_head", KeyError, config)
    parsed = parse_config(changed("encoder_config.hidden_dim", 24, config) | {
        "projector_config": config["projector_config"] | {"encoder_hidden_size": 24}
    })  # fmt: skip
    assert parsed.encoder.dim_head == 8  # of 24 // 3
    assert parsed.projector.layer_norm_eps == 1e-12
    assert parsed.text.rope_theta == 10000.0


def test_integers_serve_as_floats() -> None:
    parsed = parse_config(changed("text_config.embedding_multiplier", 12))
    assert parsed.text.embedding_multiplier == 12.0
    assert isinstance(parsed.text.embedding_multiplier, float)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("projector_config.hidden_act", "gelu_new"),
        ("projector_config.cross_attention_frequency", 2),
        ("projector_config.use_qformer_text_input", True),
        ("projector_config.encoder_hidden_size", 52),
        ("text_config.hidden_act", "gelu"),
        ("text_config.attention_bias", True),
        ("text_config.mlp_bias", True),
    ],
)
def test_settings_that_are_not_computed(path: str, value: Any) -> None:
    with pytest.raises(UnsupportedModelError, match=path):
        parse_config(changed(path, value))


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("encoder_config.conv_kernel_size", 6),
        ("encoder_config.num_layers", 1),
        ("encoder_config.context_size", 12),
        ("projector_config.num_attention_heads", 3),
        ("text_config.num_attention_heads", 5),
        ("text_config.num_key_value_heads", 4),
        ("text_config.hidden_size", 42),  # 6 heads of 7
        ("text_config.eos_token_id", 307),
        ("window_size", 2),
        ("window_size", 0),
        ("downsample_rate", 0),
    ],
)
def test_numbers_that_do_not_fit_together(path: str, value: int) -> None:
    assert path in refused(changed(path, value))


INTEGERS = [*TOP_INTEGERS] + [
    f"{section}.{key}"
    for section in SECTIONS
    for key, value in CONFIG[section].items()
    if type(value) is int
]


@pytest.mark.parametrize("path", INTEGERS)
@pytest.mark.parametrize("value", [2**24 + 1, 10**30])
def test_integers_that_are_too_large(path: str, value: int) -> None:
    assert path in refused(changed(path, value))


@pytest.mark.parametrize(
    "path",
    [
        "encoder_config.num_layers",
        "projector_config.num_hidden_layers",
        "text_config.num_hidden_layers",
    ],
)
def test_too_many_layers(path: str) -> None:
    assert path in refused(changed(path, 1001))


@pytest.mark.parametrize(
    ("path", "other"),
    [
        ("encoder_config.feedforward_mult", "encoder_config.hidden_dim"),
        ("encoder_config.conv_expansion_factor", "encoder_config.hidden_dim"),
        ("encoder_config.dim_head", "encoder_config.num_heads"),
    ],
)
def test_layers_that_are_too_wide(path: str, other: str) -> None:
    config = changed(other, 2**12)
    if other == "encoder_config.hidden_dim":
        config = changed("projector_config.encoder_hidden_size", 2**12, config)
    assert f"{path} makes a layer too wide" in refused(changed(path, 2**20, config))


@pytest.mark.parametrize(
    ("model_type", "hint"),
    [
        ("granite_speech_nar", "NAR"),
        ("granite_speech5_ctc", "TurboCTC"),
        ("granite_speech5", "TurboCTC"),
        ("whisper", "whisper"),
        (None, "None"),
        (["granite_speech"], "granite_speech"),
    ],
)
def test_other_architectures(model_type: Any, hint: str) -> None:
    with pytest.raises(UnsupportedModelError, match="model_type") as caught:
        parse_config(changed("model_type", model_type))
    assert hint in str(caught.value)


def test_an_empty_object_is_no_speech_model() -> None:
    with pytest.raises(UnsupportedModelError, match="model_type"):
        parse_config({})


# Where the same setting may stand in several places


@pytest.mark.parametrize("key", ["rope_parameters", "rope_scaling"])
def test_rope_theta_in_either_place(key: str) -> None:
    config = changed("text_config.rope_theta", KeyError)
    rope = {"rope_type": "default", "rope_theta": 12345.0}
    parsed = parse_config(changed(f"text_config.{key}", rope, config))
    assert parsed.text.rope_theta == 12345.0
    assert parse_config(changed("text_config.rope_theta", 12345.0)).text.rope_theta == 12345.0


# Concatenated blocks


@pytest.mark.parametrize("model_type", ["granite_speech", "granite_speech_plus"])
@pytest.mark.parametrize(
    ("layers", "width", "parsed"),
    [
        (None, 26, ()),
        ([], 26, ()),
        ([2], 52, (2,)),
        ([2, 0], 78, (0, 2)),
        ([1, 0, 2], 104, (0, 1, 2)),
    ],
)
def test_blocks_that_are_concatenated(
    model_type: str, layers: list[int] | None, width: int, parsed: tuple[int, ...]
) -> None:
    config = changed("encoder_config.cat_hidden_layers", layers) | {"model_type": model_type}
    config = changed("projector_config.encoder_hidden_size", width, config)
    encoder = parse_config(config).encoder
    assert encoder.cat_hidden_layers == parsed
    assert encoder.frame_dim == width
    config = changed("projector_config.encoder_hidden_size", 27, config)
    assert "projector_config.encoder_hidden_size" in refused(config)


@pytest.mark.parametrize(
    "layers", [[3], [-1], [1, 1], [True], [1.0], ["1"], 1, "1", {}, True], ids=repr
)
def test_blocks_that_there_are_not(layers: Any) -> None:
    message = refused(changed("encoder_config.cat_hidden_layers", layers))
    assert "cat_hidden_layers must be a list of different numbers from 0 to 2" in message


def test_no_rope_scaling_is_written_as_null() -> None:
    assert parse_config(changed("text_config.rope_scaling", None)) == parse_config(CONFIG)


def test_rope_theta_in_rope_parameters_is_checked() -> None:
    assert "rope_theta" in refused(changed("text_config.rope_parameters", {"rope_theta": "1e4"}))


def test_tying_at_the_top_wins_over_the_text_config() -> None:
    below = changed("text_config.tie_word_embeddings", True)
    assert parse_config(below).tie_word_embeddings is False
    del below["tie_word_embeddings"]
    assert parse_config(below).tie_word_embeddings is True
    del below["text_config"]["tie_word_embeddings"]
    assert parse_config(below).tie_word_embeddings is True  # transformers' default


def test_audio_token_id_is_another_name() -> None:
    config = changed("audio_token_index", KeyError)
    assert parse_config(config | {"audio_token_id": 2}) == parse_config(CONFIG)


def test_keys_of_training_are_ignored() -> None:
    config = changed("encoder_config.dropout", 0.1)
    config = changed("text_config.attention_dropout", "x", config) | {"transformers_version": "5"}
    assert parse_config(config) == parse_config(CONFIG)


SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3)
JSON = SCALARS | st.lists(SCALARS, max_size=2) | st.dictionaries(st.text(max_size=3), SCALARS)


@settings(deadline=None, max_examples=300)
@given(
    path=st.sampled_from(
        [
            *KEYS,
            *CONFIG,
            "encoder_config.cat_hidden_layers",
            "text_config.rope_parameters",
            "text_config.rope_scaling",
        ]
    ),
    value=JSON,
)
def test_whatever_a_key_holds_the_answer_is_clear(path: str, value: Any) -> None:
    config = changed(path, value)
    try:
        outcome: object = parse_config(config)
    except CheckpointError as error:
        outcome = str(error)
    assert isinstance(outcome, SpeechConfig) or str(outcome).startswith("config.json: ")


def test_config_survives_json() -> None:
    assert parse_config(json.loads(json.dumps(CONFIG))) == parse_config(CONFIG)
