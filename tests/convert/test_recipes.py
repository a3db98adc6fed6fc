import math
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from granite_mlx.convert.recipes import RECIPES, Limits, Recipe, Rule, read_recipe, uniform
from granite_mlx.errors import ConversionError
from granite_mlx.model.quantisation import QuantFormat

RECIPE = """
summary = "the decoder at 5 bits"

[[rules]]
pattern = "language_model.model.layers.*"
bits = 5
reason = "most of the bytes"

[[rules]]
pattern = "encoder.*.attn.*"
keep = true
reason = "as a trial"

[[rules]]
pattern = "*"
mode = "mxfp8"

[limits]
max_kl_nats = 0.05
min_top1 = 1
max_relative_error = { encoder = 0.1 }
"""


def written(folder: Path, text: str) -> Path:
    path = folder / "mine.toml"
    path.write_text(text, encoding="utf-8")
    return path


# What comes with the package


@pytest.mark.parametrize("name", RECIPES)
def test_every_packaged_recipe_gives_its_reasons_and_limits(name: str) -> None:
    recipe = read_recipe(name)
    assert recipe.name == name
    assert recipe.summary
    assert all(len(rule.reason) > 20 for rule in recipe.rules)
    assert recipe.limits is not None
    assert None not in asdict(recipe.limits).values()
    assert set(recipe.limits.max_relative_error or ()) == {"encoder", "projector", "decoder"}


@pytest.mark.parametrize("name", RECIPES)
def test_no_packaged_recipe_gives_the_encoder_less_than_six_bits(name: str) -> None:
    rule = RECIPES[name].rule_of("encoder.layers.3.ff1.up_proj")
    assert rule is not None
    assert rule.format is not None
    assert rule.format.bits >= 6


@pytest.mark.parametrize("name", RECIPES)
def test_no_packaged_rule_is_hidden_by_an_earlier_one(name: str) -> None:
    modules = [
        "encoder.layers.0.ff1.up_proj",
        "projector.linear",
        "language_model.lm_head",
        "language_model.model.embed_tokens",
        "language_model.model.layers.0.self_attn.v_proj",
        "language_model.model.layers.0.mlp.up_proj",
    ]
    used = {recipe_rule for m in modules if (recipe_rule := RECIPES[name].rule_of(m))}
    assert used == set(RECIPES[name].rules)


def test_each_recipe_gives_the_decoder_fewer_bits_than_the_one_above() -> None:
    module = "language_model.model.layers.9.mlp.up_proj"
    rules = [RECIPES[name].rule_of(module) for name in ("q8", "q6", "q4")]
    bits = [rule.format.bits for rule in rules if rule and rule.format]
    assert bits == sorted(set(bits), reverse=True)
    assert len(bits) == 3


# Rules


def test_the_first_rule_that_fits_decides() -> None:
    first = Rule("encoder.*", None, "kept")
    last = Rule("*", QuantFormat(8, 64), "the rest")
    recipe = Recipe("two", "", (first, last))
    assert recipe.rule_of("encoder.layers.0.ff1.up_proj") is first
    assert recipe.rule_of("projector.linear") is last
    assert Recipe("one", "", (first,)).rule_of("projector.linear") is None


def test_patterns_are_matched_letter_for_letter_and_whole() -> None:
    rule = Rule("encoder.layers.1.*", None, "")
    assert rule.fits("encoder.layers.1.ff1.up_proj")
    assert not rule.fits("encoder.layers.11.ff1.up_proj")
    assert not rule.fits("Encoder.layers.1.ff1.up_proj")
    assert not rule.fits("model.encoder.layers.1.ff1.up_proj")


def test_a_uniform_recipe_has_one_format_and_no_limits() -> None:
    recipe = uniform(QuantFormat(4, 32, "mxfp4"))
    assert recipe.name == "mxfp4-4bit-g32"
    assert recipe.limits is None
    assert [rule.format for rule in recipe.rules] == [QuantFormat(4, 32, "mxfp4")]


# Files


def test_a_recipe_file(tmp_path: Path) -> None:
    assert read_recipe(written(tmp_path, RECIPE)) == Recipe(
        "mine",
        "the decoder at 5 bits",
        (
            Rule("language_model.model.layers.*", QuantFormat(5, 64), "most of the bytes"),
            Rule("encoder.*.attn.*", None, "as a trial"),
            Rule("*", QuantFormat(8, 32, "mxfp8"), ""),
        ),
        Limits(max_kl_nats=0.05, min_top1=1.0, max_relative_error={"encoder": 0.1}),
    )


def test_a_recipe_file_needs_rules_alone(tmp_path: Path) -> None:
    recipe = read_recipe(str(written(tmp_path, '[[rules]]\npattern = "*"\nbits = 8\n')))
    assert (recipe.name, recipe.summary, recipe.limits) == ("mine", "", None)


def test_the_record_says_what_the_file_says(tmp_path: Path) -> None:
    record = read_recipe(written(tmp_path, RECIPE)).to_record()
    assert record["rules"][1] == {
        "pattern": "encoder.*.attn.*", "keep": True, "reason": "as a trial",
    }  # fmt: skip
    assert record["rules"][2] == {
        "pattern": "*", "bits": 8, "group_size": 32, "mode": "mxfp8", "reason": "",
    }  # fmt: skip
    assert record["limits"]["max_relative_error"] == {"encoder": 0.1}
    assert record["limits"]["max_wer_points"] is None


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", r"has no \[\[rules\]\]"),
        ("rules = 3", r"has no \[\[rules\]\]"),
        ("rules = [3]", "rule 1 must be a table"),
        ("[[rules]", "is not a TOML file"),
        ("[[rules]]\nbits = 8", "rule 1 has no pattern"),
        ('[[rules]]\npattern = "*"', "rule 1 needs bits or a mode, or keep = true"),
        ('[[rules]]\npattern = "*"\nbits = "8"', "rule 1: bits must be of type int"),
        ('[[rules]]\npattern = "*"\nbits = true', "rule 1: bits must be of type int"),
        ('[[rules]]\npattern = "*"\nbits = 7', r"rule 1: .*not 7 bits"),
        ('[[rules]]\npattern = "*"\nmode = "q4_k"', "rule 1: there is no mode 'q4_k', only affine"),
        ('[[rules]]\npattern = "*"\nbits = 8\nkeep = true', "no use for bits"),
        ('[[rules]]\npattern = "*"\nbist = 8', "rule 1: unknown key 'bist'; known are pattern"),
        ('[[rules]]\npattern = "*"\nbits = 8\n[limit]', "unknown key 'limit'"),
        ('[[rules]]\npattern = "*"\nbits = 8\n[limits]\nmax_kl = 1', "limits: unknown key"),
        ('[[rules]]\npattern = "*"\nbits = 8\n[limits]\nmin_top1 = -1', "min_top1 must be"),
        ('[[rules]]\npattern = "*"\nbits = 8\n[limits]\nmax_kl_nats = nan', "max_kl_nats must be"),
        ('[[rules]]\npattern = "*"\nbits = 8\n[limits]\nmax_kl_nats = inf', "max_kl_nats must be"),
        (f'[[rules]]\npattern = "*"\nbits = 8\n[limits]\nmax_wer_points = {10**400}', "0 or more"),
        ('[[rules]]\npattern = "*"\nbits = 8\n[limits.max_relative_error]\nears = 1', "'ears'"),
    ],
)
def test_a_wrong_file_is_refused_by_the_place(tmp_path: Path, text: str, complaint: str) -> None:
    path = written(tmp_path, text)
    with pytest.raises(ConversionError, match=complaint) as caught:
        read_recipe(path)
    assert str(caught.value).startswith(str(path))


@pytest.mark.parametrize("limit", [math.inf, math.nan, -1.0, 10**400])
def test_limits_are_numbers(limit: float) -> None:
    with pytest.raises(ValueError, match="max_kl_nats must be a number of 0 or more"):
        Limits(max_kl_nats=limit)
    with pytest.raises(ValueError, match="encoder must be a number of 0 or more"):
        Limits(max_relative_error={"encoder": limit})


@pytest.mark.parametrize(
    "limits",
    [{"min_top1": 97}, {"max_kl_nats": "0.1"}, {"max_relative_error": {"ears": 1}},
     {"max_wer_points": True}],
)  # fmt: skip
def test_limits_that_would_judge_nothing_or_everything(limits: Any) -> None:
    with pytest.raises(ValueError, match=r"must be a number|there is no room 'ears'"):
        Limits(**limits)


def test_a_recipe_file_that_is_nested_too_deep(tmp_path: Path) -> None:
    with pytest.raises(ConversionError, match="is not a TOML file"):
        read_recipe(written(tmp_path, f"a = {'[' * 5000}"))


def test_a_recipe_that_does_not_exist() -> None:
    with pytest.raises(ConversionError, match=r"'q5'.*q8, q6, q4, q4-small.*TOML"):
        read_recipe("q5")


def test_a_recipe_file_that_is_not_text(tmp_path: Path) -> None:
    path = tmp_path / "binary.toml"
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(ConversionError, match="is not a TOML file"):
        read_recipe(path)
