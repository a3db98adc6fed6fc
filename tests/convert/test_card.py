from dataclasses import replace
from pathlib import Path

import pytest
from huggingface_hub import ModelCard

from granite_mlx.convert.card import model_card, write_card

from .test_manifest import MANIFEST

ORIGINAL = """---
license: apache-2.0
language:
- en
- fr
tags:
- speech
base_model: owner/language-model
model-index:
- name: x
  results: []
---

# The original

It listens.
"""


def test_the_metadata_is_the_sources_with_what_has_changed() -> None:
    data = ModelCard(model_card(MANIFEST, ORIGINAL)).data.to_dict()
    assert data["license"] == "apache-2.0"
    assert data["language"] == ["en", "fr"]
    assert data["tags"] == ["speech", "mlx", "granite-mlx"]
    assert data["base_model"] == "owner/name"
    assert data["base_model_relation"] == "quantized"
    assert data["library_name"] == "mlx"
    assert data["pipeline_tag"] == "automatic-speech-recognition"
    assert "model-index" not in data  # its figures were measured on the source


@pytest.mark.parametrize("tags", ["[{a: 1}, speech]", "speech", "3", "[[x]]"])
def test_odd_tags_of_the_source_are_left_out(tags: str) -> None:
    original = ORIGINAL.replace("tags:\n- speech\n", f"tags: {tags}\n")
    found = ModelCard(model_card(MANIFEST, original)).data.to_dict()["tags"]
    assert found == (["speech"] if "speech" in tags else []) + ["mlx", "granite-mlx"]


def test_no_word_of_a_recipe_breaks_the_tables() -> None:
    rules = [{"pattern": "a|b", "keep": True, "reason": "one\ntwo | \x1b[31mthree"}]
    recipe = {"name": "mine\n# no", "summary": "a\nb", "rules": rules, "limits": None}
    text = model_card(replace(MANIFEST, recipe=recipe), "")
    assert "| `a\\|b` | floating | one two \\| [31mthree |" in text
    assert "\n# no" not in text
    assert "\x1b" not in text


def test_a_card_that_utf_8_cannot_hold_is_written(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text('---\nlicense: "\\uD800"\n---\nIt listens.')
    (tmp_path / "result").mkdir()
    write_card(tmp_path / "result", MANIFEST, tmp_path)
    assert "It listens." in (tmp_path / "result" / "README.md").read_text(encoding="utf-8")


def test_a_folder_is_no_base_model() -> None:
    local = replace(MANIFEST, source=replace(MANIFEST.source, model_id="/home/me/m", revision=None))
    card = model_card(local, "")
    assert "base_model" not in ModelCard(card).data.to_dict()
    assert "# m, quantised with the recipe q4\n" in card


def test_the_text_says_what_was_done_and_what_it_cost() -> None:
    text = ModelCard(model_card(MANIFEST, ORIGINAL)).text
    assert "granite-mlx 1.2.3 and mlx 0.32.0" in text
    assert "| `projector.*` | floating |" in text
    assert "| `language_model.*` | affine, 4 bits, groups of 64 |" in text
    assert "`encoder.input_linear`" in text
    assert "| kl nats | 0.01 |" in text
    assert "Beyond the recipe's limit: Too much." in text
    assert text.rstrip().endswith("# The original\n\nIt listens.")


def test_a_floating_conversion_claims_no_recipe() -> None:
    bare = replace(
        MANIFEST, recipe=None, n_quantised=0, kept_floating={}, verification=None, exceeded=(),
        dtype="float16",
    )  # fmt: skip
    card = model_card(bare, "")
    assert "# name, in float16" in card
    assert "##" not in card
    assert "base_model_relation" not in ModelCard(card).data.to_dict()


def test_a_card_whose_metadata_is_broken_is_kept_as_text() -> None:
    broken = "---\nlicense: [apache\n---\nIt listens."
    card = model_card(MANIFEST, broken)
    assert ModelCard(card).data.to_dict()["base_model"] == "owner/name"
    assert "It listens." in card


def test_it_is_written_from_the_sources(tmp_path: Path) -> None:
    source, result = tmp_path / "source", tmp_path / "result"
    source.mkdir()
    result.mkdir()
    write_card(result, MANIFEST, source)
    assert "The card of the source" not in (result / "README.md").read_text()
    (source / "README.md").write_text(ORIGINAL)
    write_card(result, MANIFEST, source)
    assert "The card of the source" in (result / "README.md").read_text()


def test_what_was_merged_or_dequantised_is_told() -> None:
    assert "LoRA adapter is merged" in model_card(MANIFEST, "")
    plain = replace(MANIFEST, recipe=None, dequantised=True, merged_adapter=False)
    card = model_card(plain, "")
    assert "# name, dequantised\n" in card
    assert "adapter" not in card
