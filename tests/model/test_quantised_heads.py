"""Heads that are tied to a quantised embedding table."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import mlx.core as mx
import pytest

from .quantised import (
    BOTH,
    HEAD,
    PARTS,
    Q8,
    TABLE,
    TIED,
    floating_tensors,
    in_config,
    quantised_tensors,
    refused,
    write_with,
)
from .test_weights import assert_same
from .tiny import write_checkpoint


def with_head(edit: Mapping[str, mx.array | None]) -> dict[str, mx.array]:
    """A tied checkpoint's tensors, quantised, that carry a copy of the table as the head."""
    tensors = quantised_tensors(floating_tensors(TIED), {TABLE: Q8})
    head = {f"{HEAD}.{part}": tensors[f"{TABLE}.{part}"] for part in PARTS}
    return {n: a for n, a in {**tensors, **head, **edit}.items() if a is not None}


def write_tied(folder: Path, tensors: Mapping[str, mx.array], **options: Any) -> None:
    write_checkpoint(folder, config=in_config({TABLE: Q8}, TIED), tensors=tensors, **options)


@BOTH
@pytest.mark.parametrize("n_shards", [1, 3])
def test_a_tied_checkpoint_may_carry_its_head(tmp_path: Path, load: Any, n_shards: int) -> None:
    write_tied(tmp_path / "with", with_head({}), n_shards=n_shards)
    without = with_head({f"{HEAD}.{part}": None for part in PARTS})
    write_tied(tmp_path / "without", without)
    assert_same(load(tmp_path / "with"), load(tmp_path / "without"))


@BOTH
@pytest.mark.parametrize("part", PARTS)
def test_a_tied_head_that_differs(tmp_path: Path, load: Any, part: str) -> None:
    name = f"{HEAD}.{part}"
    array = with_head({})[name] * 1  # a copy
    array[-1, -1] += 1
    write_tied(tmp_path, with_head({name: array}))
    message = refused(tmp_path, load)
    assert name in message
    assert "tie_word_embeddings" in message


@BOTH
def test_a_tied_head_in_another_format(tmp_path: Path, load: Any) -> None:
    floating = floating_tensors(TIED)[f"{TABLE}.weight"]
    only = {f"{HEAD}.weight": floating, f"{HEAD}.scales": None, f"{HEAD}.biases": None}
    write_tied(tmp_path, with_head(only))
    assert f"{HEAD}.weight differs from the embedding table" in refused(tmp_path, load)


def test_an_untied_checkpoint_needs_its_head(tmp_path: Path) -> None:
    write_with(tmp_path, Q8, {f"{HEAD}.{part}": None for part in PARTS})
    assert f"lacks the tensor {HEAD}.weight" in refused(tmp_path)
