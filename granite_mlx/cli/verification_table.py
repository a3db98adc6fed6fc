"""A verification's figures, as the manifest has them, as text for people."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from granite_mlx.cli.plan_table import aligned

N_WORST = 5
"""Tensors that are shown; the manifest has all."""

UNKNOWN = "-"


def verification_lines(figures: Mapping[str, Any]) -> Iterator[str]:
    """The table: rooms, the tensors that changed most, then what it means for tokens and words."""
    yield (
        f"compared with the source over {figures['n_recordings']} recordings "
        f"({figures['audio_s']:.1f} s, {figures['n_tokens']} tokens), in {figures['computed_in']}:"
    )
    if figures["run"] != "whole":
        yield "layer by layer, along the recordings' texts: there is no memory for the source whole"
    yield ""
    rows = [("", "relative error", "cosine")]
    for what in ("outputs", "weights"):
        rows += [_row(f"{room}, {what}", d) for room, d in figures[what].items()]
    worst = sorted(figures["tensors"], key=lambda d: _size(d["relative_error"]), reverse=True)
    rows += [_row(difference["name"], difference) for difference in worst[:N_WORST]]
    yield from aligned(rows)
    yield ""
    yield from aligned(list(_consequences(figures)))


def _row(name: str, difference: Mapping[str, Any]) -> tuple[str, str, str]:
    error, cosine = difference["relative_error"], difference["cosine"]
    return name, _shown(error, "{:.3%}"), _shown(cosine, "{:.6f}")


def _size(error: float | None) -> float:
    return float("inf") if error is None else error


def _consequences(figures: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    yield "mean KL divergence", _shown(figures["mean_kl_nats"], "{:.5f} nats")
    yield "same most probable token", _shown(figures["top1_agreement"], "{:.2%} of positions")
    if (n_same := figures["n_same_texts"]) is not None:
        yield "same text", f"{n_same} of {figures['n_recordings']} recordings"
    for key, unit in (("word_errors", "words"), ("character_errors", "characters")):
        if (rates := figures[key]) is not None:
            source, converted = rates["source_percent"], rates["converted_percent"]
            name = key.replace("_", " ")
            yield name, f"{converted:.2f} % of {rates['n_wanted']} {unit} (source {source:.2f} %)"


def _shown(value: float | None, form: str) -> str:
    return UNKNOWN if value is None else form.format(value)
