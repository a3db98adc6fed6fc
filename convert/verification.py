"""What a comparison of a conversion with its source has found, and whether that is good enough."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from granite_mlx.convert.compare import Agreement, Difference
from granite_mlx.convert.recipes import ROOMS, Limits
from granite_mlx.evaluate.error_rates import ErrorRate, character_errors, word_errors

T = TypeVar("T", Difference, Agreement)

WHOLE, LAYER_BY_LAYER = "whole", "layer by layer"
"""How the models were run."""

_PREFIXES = {"language_model": "decoder"}
"""Rooms whose tensors have another first name."""


@dataclass(frozen=True)
class Comparison:
    """One recording through source and conversion.

    Attributes:
        reference: what is said in it, None where that is not known.
        source_text, converted_text: what they write, each by itself; None where they ran layer by
            layer.
        outputs: by room, what the conversion puts out against what the source does. The decoder's
            are the final hidden states along the source's answer, or else the reference, which
            both are given.
        agreement: of the two about the tokens of that answer.

    The last two are empty where the source's side of them was too much to keep.
    """

    name: str
    duration_s: float
    reference: str | None
    source_text: str | None
    converted_text: str | None
    outputs: Mapping[str, Difference]
    agreement: Agreement


@dataclass(frozen=True)
class Verification:
    """A comparison of a conversion with its source.

    Attributes:
        dtype: the floating type in which the conversion computed.
        weights: by name, the tensors that the conversion has changed.
        recordings: what came of each.
        way: `WHOLE`, or `LAYER_BY_LAYER` where one did not fit into memory.
    """

    dtype: str
    weights: Mapping[str, Difference]
    recordings: tuple[Comparison, ...]
    way: str = WHOLE

    def weights_of(self, room: str) -> Difference:
        """The changed tensors of a room taken together."""
        return _sum(Difference(), [d for name, d in self.weights.items() if room_of(name) == room])

    def outputs_of(self, room: str) -> Difference:
        """All that a room put out."""
        found = [r.outputs[room] for r in self.recordings if room in r.outputs]
        return _sum(Difference(), found)

    @property
    def agreement(self) -> Agreement:
        """On the next token, over all recordings."""
        return _sum(Agreement(), [recording.agreement for recording in self.recordings])

    @property
    def word_errors(self) -> tuple[ErrorRate, ErrorRate]:
        """Of the source and of the conversion, where there are references."""
        return self._errors(word_errors)

    @property
    def character_errors(self) -> tuple[ErrorRate, ErrorRate]:
        """Of the source and of the conversion, where there are references."""
        return self._errors(character_errors)

    @property
    def n_same_texts(self) -> int | None:
        """Recordings of which both write the same text; None where they wrote nothing."""
        if self.way == LAYER_BY_LAYER:
            return None
        return sum(r.source_text == r.converted_text for r in self.recordings)

    def _errors(self, count: Callable[[str, str], ErrorRate]) -> tuple[ErrorRate, ErrorRate]:
        source, converted = ErrorRate(), ErrorRate()
        for r in self.recordings:
            if r.reference is None or r.source_text is None or r.converted_text is None:
                continue
            source += count(r.reference, r.source_text)
            converted += count(r.reference, r.converted_text)
        return source, converted

    def to_record(self) -> dict[str, Any]:
        """The figures for the manifest; what is not known, or no number, is None."""
        agreement = self.agreement
        return {
            "computed_in": self.dtype,
            "run": self.way,
            "n_recordings": len(self.recordings),
            "audio_s": _figure(sum(recording.duration_s for recording in self.recordings)),
            "n_same_texts": self.n_same_texts,
            "n_tokens": agreement.n_positions,
            "mean_kl_nats": _figure(agreement.mean_kl_nats),
            "top1_agreement": _figure(agreement.top1),
            "word_errors": _rates_record(*self.word_errors),
            "character_errors": _rates_record(*self.character_errors),
            "outputs": {room: _record(self.outputs_of(room)) for room in ROOMS},
            "weights": {room: _record(self.weights_of(room)) for room in ROOMS},
            "recordings": [
                {
                    "name": r.name,
                    "duration_s": _figure(r.duration_s),
                    "has_reference": r.reference is not None,
                    "n_tokens": r.agreement.n_positions,
                    "mean_kl_nats": _figure(r.agreement.mean_kl_nats),
                }
                for r in self.recordings
            ],
            "tensors": [
                {"name": name, **_record(difference)} for name, difference in self.weights.items()
            ],
        }


def room_of(tensor: str) -> str:
    """The room that a tensor belongs to, by its published name."""
    first = tensor.partition(".")[0]
    return _PREFIXES.get(first, first)


def judge(verification: Verification, limits: Limits | None) -> Iterator[str]:
    """A sentence for each figure that is beyond its limit.

    What is no number is beyond any, be there limits or not. One other token or one more wrong word
    never is: among a few it would outweigh every limit.
    """
    limits = limits or Limits()
    by_room = limits.max_relative_error or {}
    for room in ROOMS:
        yield from _judge_outputs(room, verification.outputs_of(room), by_room.get(room, math.inf))
    yield from _judge_agreement(verification.agreement, limits)
    yield from _judge_words(*verification.word_errors, limits)


def _judge_outputs(room: str, found: Difference, limit: float) -> Iterator[str]:
    error = found.relative_error
    if not math.isfinite(error):
        yield f"what the {room} puts out is no number any more; try another dtype."
    elif error > limit:
        yield (
            f"what the {room} puts out is off by {error:.1%} of its size, and {limit:.1%} are "
            "allowed."
        )


def _judge_agreement(found: Agreement, limits: Limits) -> Iterator[str]:
    if not found.n_positions:
        return
    if limits.max_kl_nats is not None and not found.mean_kl_nats <= limits.max_kl_nats:
        yield (
            f"the next token's distribution diverges by {found.mean_kl_nats:.4f} nats, and "
            f"{limits.max_kl_nats:g} are allowed."
        )
    n_other = found.n_positions - found.n_same
    if limits.min_top1 is not None and found.top1 < limits.min_top1 and n_other > 1:
        yield (
            f"the most probable token is the same at {found.n_same} of {found.n_positions} "
            f"positions ({found.top1:.1%}), and {limits.min_top1:.1%} are asked for."
        )


def _judge_words(source: ErrorRate, converted: ErrorRate, limits: Limits) -> Iterator[str]:
    if limits.max_wer_points is None or not source.n_wanted:
        return
    n_more = converted.n_errors - source.n_errors
    if n_more > max(1.0, limits.max_wer_points / 100 * source.n_wanted):
        yield (
            f"{n_more} more of {source.n_wanted} words are wrong (a word error rate of "
            f"{converted.percent:.2f} % instead of {source.percent:.2f} %), and "
            f"{limits.max_wer_points:g} points are allowed."
        )


def _sum(start: T, parts: list[T]) -> T:
    total = start
    for part in parts:
        total = total + part
    return total


def _record(difference: Difference) -> dict[str, float | None]:
    return {
        "relative_error": _figure(difference.relative_error),
        "cosine": _figure(difference.cosine),
    }


def _rates_record(source: ErrorRate, converted: ErrorRate) -> dict[str, float | int | None] | None:
    if not source.n_wanted:
        return None
    return {
        "n_wanted": source.n_wanted,
        "source_percent": _figure(source.percent),
        "converted_percent": _figure(converted.percent),
    }


def _figure(value: float) -> float | None:
    """To seven digits, which tell a cosine from 1; JSON has no name for what is no number."""
    return float(f"{value:.7g}") if math.isfinite(value) else None
