import dataclasses
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from granite_mlx.convert import port
from granite_mlx.convert.layout import GRANITE_MLX, GraniteMLX
from granite_mlx.convert.plan import Fate, Plan, plan
from granite_mlx.convert.recipes import RECIPES, Recipe, Rule, uniform
from granite_mlx.model.config import parse_config
from granite_mlx.model.quantisation import MODES, QuantFormat, parse_quantisation
from granite_mlx.model.shards import TensorInfo
from granite_mlx.model.speech_model import SpeechModel

from .small import CONFIG, HEAD, TABLE, TIED

Q8 = uniform(QuantFormat(8, 64))
HALF_BYTES = 2


def tensors(config: Mapping[str, Any] = CONFIG, dtype: str = "BF16") -> dict[str, TensorInfo]:
    """The headers of a checkpoint of this configuration, as PyTorch's layout has it."""
    path = Path("model.safetensors")
    found = {}
    for ours, array in SpeechModel(parse_config(config)).named_parameters():
        for name, shapes in port.sources(ours, tuple(array.shape)).items():
            found[name] = TensorInfo(name, dtype, shapes[0], path)
            if name.endswith("running_mean"):
                counter = name.replace("running_mean", "num_batches_tracked")
                found[counter] = TensorInfo(counter, "I64", (), path)
    return found


def fates(decided: Plan) -> dict[str, Fate]:
    return {fate.name: fate for fate in decided.fates}


def planned(recipe: Recipe | None = Q8, **options: Any) -> Plan:
    return plan(tensors(), **{"tied": False, "recipe": recipe} | options)


# What is quantised


def test_every_tensor_has_a_fate_in_the_order_of_the_source() -> None:
    assert [fate.name for fate in planned().fates] == list(tensors())


def test_matrices_are_quantised_and_nothing_else() -> None:
    quantised = {fate.module for fate in planned().quantised}
    layer = {
        "ff1.up_proj", "ff1.down_proj", "attn.to_q", "attn.to_kv", "attn.to_out", "conv.up_conv",
        "conv.down_conv", "ff2.up_proj", "ff2.down_proj",
    }  # fmt: skip
    assert {name for name in quantised if name.startswith("encoder.")} == {
        f"encoder.layers.{n}.{name}" for n in range(2) for name in layer
    }
    assert {"language_model.lm_head", "language_model.model.embed_tokens"} <= quantised
    assert "projector.linear" in quantised
    assert not any("norm" in name.lower() for name in quantised)


@pytest.mark.parametrize(
    "name",
    [
        "encoder.out.weight",
        "encoder.out_mid.weight",
        "encoder.layers.1.attn.rel_pos_emb.weight",
        "encoder.layers.1.conv.depth_conv.conv.weight",
        "encoder.layers.1.conv.batch_norm.running_var",
        "encoder.layers.0.ff1.up_proj.bias",
        "language_model.model.norm.weight",
        "projector.query",
    ],
)
def test_what_no_recipe_quantises(name: str) -> None:
    fate = fates(planned(uniform(MODES["nvfp4"])))[name]
    assert fate.format is None
    assert fate.wanted is None
    assert fate.reason
    assert [dtype for dtype, _ in fate.stored.values()] == ["BF16"]


def test_a_width_that_does_not_divide_stays_floating_and_is_listed() -> None:
    misfits = {fate.module: fate for fate in planned().misfits}
    assert set(misfits) == {
        "encoder.input_linear",
        "projector.qformer.encoder.layer.0.output_query.dense",
    }
    assert "160" in misfits["encoder.input_linear"].reason
    assert misfits["encoder.input_linear"].wanted == QuantFormat(8, 64)
    in_groups_of_32 = planned(uniform(MODES["mxfp4"]))
    assert in_groups_of_32.misfits == ()
    assert "encoder.input_linear" in {fate.module for fate in in_groups_of_32.quantised}


def test_rules_decide_and_their_reasons_are_kept() -> None:
    recipe = Recipe(
        "r",
        "",
        (
            Rule("*.attn.*", None, "as a trial"),
            Rule("encoder.*", QuantFormat(6, 64), "for the size"),
        ),
    )
    by_name = fates(planned(recipe))
    assert by_name["encoder.layers.0.attn.to_q.weight"].format is None
    assert by_name["encoder.layers.0.attn.to_q.weight"].reason == "as a trial"
    assert by_name["encoder.layers.0.ff1.up_proj.weight"].format == QuantFormat(6, 64)
    assert by_name["encoder.layers.0.ff1.up_proj.weight"].reason == "for the size"
    assert by_name["projector.linear.weight"].format is None
    assert "no rule" in by_name["projector.linear.weight"].reason


def test_patterns_that_fit_nothing_are_reported() -> None:
    format = QuantFormat(8, 64)
    patterns = ("encodr.*", "*.bias", "*.norm", "projector.linear", "*")
    recipe = Recipe("r", "", tuple(Rule(pattern, format, "") for pattern in patterns))
    assert planned(recipe).unused_patterns == ("encodr.*", "*.bias", "*.norm")


@pytest.mark.parametrize("name", RECIPES)
@pytest.mark.parametrize("config", [CONFIG, TIED], ids=["untied", "tied"])
def test_every_rule_of_the_packaged_recipes_fits_something(
    name: str, config: Mapping[str, Any]
) -> None:
    tied = config["tie_word_embeddings"]
    assert plan(tensors(config), tied=tied, recipe=RECIPES[name]).unused_patterns == ()


# How things are stored


@pytest.mark.parametrize(
    ("format", "parts"),
    [
        (
            QuantFormat(8, 64),
            {"weight": ("U32", (64, 16)), "scales": ("BF16", (64, 1)), "biases": ("BF16", (64, 1))},
        ),
        (
            QuantFormat(6, 32),
            {"weight": ("U32", (64, 12)), "scales": ("BF16", (64, 2)), "biases": ("BF16", (64, 2))},
        ),
        (MODES["mxfp8"], {"weight": ("U32", (64, 16)), "scales": ("U8", (64, 2))}),
    ],
)
def test_a_quantised_matrix_is_stored_in_parts(format: QuantFormat, parts: dict[str, Any]) -> None:
    by_name = fates(planned(uniform(format)))
    for module in ("encoder.layers.0.attn.to_q",):
        assert by_name[f"{module}.weight"].stored == {
            f"{module}.{part}": entry for part, entry in parts.items()
        }


def test_a_pointwise_convolution_is_quantised_as_a_matrix() -> None:
    fate = fates(planned())["encoder.layers.0.conv.up_conv.weight"]
    assert fate.shape == (256, 64, 1)
    assert fate.stored["encoder.layers.0.conv.up_conv.weight"] == ("U32", (256, 16))


def test_convolutions_that_stay_floating_are_stored_as_mlx_has_them() -> None:
    by_name = fates(planned(None))
    assert by_name["encoder.layers.0.conv.up_conv.weight"].stored == {
        "encoder.layers.0.conv.up_conv.weight": ("BF16", (256, 1, 64))
    }
    assert by_name["encoder.layers.0.conv.depth_conv.conv.weight"].stored == {
        "encoder.layers.0.conv.depth_conv.conv.weight": ("BF16", (128, 5, 1))
    }


def test_batch_norm_is_not_folded() -> None:
    by_name = fates(planned())
    for part in ("weight", "bias", "running_mean", "running_var"):
        name = f"encoder.layers.0.conv.batch_norm.{part}"
        assert by_name[name].stored == {name: ("BF16", (128,))}


def test_counters_and_tied_heads_are_left_out() -> None:
    found = tensors(TIED) | {HEAD: TensorInfo(HEAD, "BF16", (307, 128), Path("x"))}
    decided = plan(found, tied=True, recipe=Q8)
    left_out = {fate.name for fate in decided.fates if not fate.stored}
    assert HEAD in left_out
    assert decided.leaves_out(HEAD)
    assert {name.rpartition(".")[2] for name in left_out - {HEAD}} == {"num_batches_tracked"}
    assert not decided.leaves_out(TABLE)
    assert not planned().leaves_out(HEAD)


def test_each_tensor_keeps_its_type_unless_another_is_asked_for() -> None:
    found = tensors()
    norm, matrix = "language_model.model.norm.weight", "projector.linear.weight"
    found[norm] = dataclasses.replace(found[norm], dtype="F32")
    kept = fates(plan(found, tied=False, recipe=Q8))
    assert kept[norm].stored[norm][0] == "F32"
    assert kept[matrix].stored["projector.linear.scales"][0] == "BF16"
    asked = fates(plan(found, tied=False, recipe=Q8, dtype="float16"))
    assert asked[norm].stored[norm][0] == "F16"
    assert asked[matrix].stored["projector.linear.scales"][0] == "F16"


# Sizes


def test_sizes_without_a_recipe() -> None:
    decided = planned(None)
    values = sum(math.prod(info.shape) for info in tensors().values() if info.dtype != "I64")
    n_counters = CONFIG["encoder_config"]["num_layers"]
    assert decided.n_bytes == HALF_BYTES * values
    assert decided.source_bytes == HALF_BYTES * values + 8 * n_counters


def test_the_size_of_a_quantised_matrix() -> None:
    fate = fates(planned())["projector.linear.weight"]
    assert fate.source_bytes == HALF_BYTES * 128 * 64
    assert fate.n_bytes == 128 * 64 + 2 * HALF_BYTES * 128  # 8 bits, and two numbers a group


def test_recipes_from_small_to_large_at_full_size() -> None:
    sizes = [full_size(RECIPES[name]).n_bytes for name in ("q4-small", "q4", "q6", "q8")]
    assert sizes == sorted(sizes)


def test_the_sizes_at_full_size() -> None:
    assert full_size(None).n_bytes / 1e9 == pytest.approx(4.63, abs=0.01)
    assert full_size(RECIPES["q8"]).n_bytes / 1e9 == pytest.approx(2.47, abs=0.02)


def full_size(recipe: Recipe | None) -> Plan:
    """granite-4.0-1b-speech, from its dimensions alone."""
    config = {
        key: dict(value) if isinstance(value, dict) else value for key, value in CONFIG.items()
    }
    config["encoder_config"] |= {
        "num_layers": 16, "hidden_dim": 1024, "feedforward_mult": 4, "num_heads": 8,
        "dim_head": 128, "context_size": 200, "max_pos_emb": 512, "conv_kernel_size": 15,
    }  # fmt: skip
    config["projector_config"] |= {
        "hidden_size": 1024, "num_hidden_layers": 2, "num_attention_heads": 16,
        "intermediate_size": 4096, "encoder_hidden_size": 1024,
    }  # fmt: skip
    config["text_config"] |= {
        "vocab_size": 100353, "hidden_size": 2048, "intermediate_size": 4096,
        "num_hidden_layers": 40, "num_attention_heads": 16, "num_key_value_heads": 4,
    }  # fmt: skip
    return plan(tensors(config), tied=False, recipe=recipe)


# config.json's quantization


def test_the_commonest_format_is_the_default_and_others_are_named() -> None:
    recipe = Recipe(
        "r",
        "",
        (
            Rule("language_model.lm_head", QuantFormat(8, 32), ""),
            Rule("projector.linear", MODES["mxfp4"], ""),
            Rule("*", QuantFormat(4, 64), ""),
        ),
    )
    assert planned(recipe).quantization() == {
        "group_size": 64,
        "bits": 4,
        "mode": "affine",
        "language_model.lm_head": {"group_size": 32, "bits": 8, "mode": "affine"},
        "projector.linear": {"group_size": 32, "bits": 4, "mode": "mxfp4"},
    }


@pytest.mark.parametrize("name", RECIPES)
def test_what_config_json_says_is_read_back_as_the_plan_has_it(name: str) -> None:
    decided = planned(RECIPES[name])
    read = parse_quantisation({"quantization": decided.quantization()})
    assert read is not None
    assert decided.quantised
    assert all(read.of(fate.module) == fate.format for fate in decided.quantised)


def test_nothing_quantised_is_no_quantization() -> None:
    assert planned(None).quantization() is None
    assert planned(Recipe("r", "", (Rule("*", None, ""),))).quantization() is None


# Other layouts


class Prefixed(GraniteMLX):
    """Other names, and an encoder that stays floating."""

    def tensor_name(self, published: str) -> str:
        return f"model.{published}"

    def keeps_floating(self, module: str) -> str | None:
        return "not that" if module.startswith("encoder.") else None


def test_a_layout_names_tensors_and_keeps_matrices_floating() -> None:
    decided = planned(Recipe("r", "", (Rule("*.o_proj", QuantFormat(8, 32), ""), *Q8.rules)),
                      layout=Prefixed())  # fmt: skip
    by_name = fates(decided)
    head = by_name[HEAD]
    assert set(head.stored) == {f"model.language_model.lm_head.{part}"
                                for part in ("weight", "scales", "biases")}  # fmt: skip
    assert by_name["encoder.layers.0.ff1.up_proj.weight"].reason == "not that"
    assert decided.quantization() == {
        "group_size": 64, "bits": 8, "mode": "affine",
    } | {
        f"model.language_model.model.layers.{n}.self_attn.o_proj":
            {"group_size": 32, "bits": 8, "mode": "affine"}
        for n in range(2)
    }  # fmt: skip


@pytest.mark.parametrize(
    ("name", "shape", "stored"),
    [
        ("encoder.layers.0.conv.up_conv.weight", (6, 4, 1), (6, 1, 4)),
        ("encoder.layers.0.conv.up_conv.weight", (6, 1, 4), (6, 1, 4)),
        ("encoder.layers.0.conv.up_conv.weight", (6, 4), (6, 1, 4)),
        ("encoder.layers.0.conv.down_conv.weight", (6, 1, 1), (6, 1, 1)),
        ("encoder.layers.0.conv.depth_conv.conv.weight", (6, 1, 5), (6, 5, 1)),
        ("encoder.layers.0.conv.depth_conv.conv.weight", (6, 5, 1), (6, 5, 1)),
        ("projector.query", (1, 2, 6), (1, 2, 6)),
        ("encoder.out.weight", (6, 4), (6, 4)),
        ("encoder.out.bias", (6,), (6,)),
    ],
)
def test_the_shapes_of_our_layout(name: str, shape: port.Shape, stored: port.Shape) -> None:
    assert GRANITE_MLX.floating_shape(name, shape) == stored
