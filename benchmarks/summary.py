"""Measurements to figures: medians and ranges of every stage, as parts of the machine's limits."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from benchmarks.costs import (
    cache_values,
    decoder_products,
    decoder_weights,
    encoder_products,
    flops,
    projector_products,
)
from benchmarks.journal import Record
from benchmarks.room import ITEM_BYTES
from benchmarks.schedule import COLD, END_TO_END, LIMITS, LOAD, OTHERS, PROFILE, STAGES
from granite_mlx.bench.spread import Spread, spread_if_any
from granite_mlx.model.config import SpeechConfig

Values = Mapping[str, float]


@dataclass(frozen=True)
class Quantity:
    """One row of the table: which measurements it comes from, and how.

    `of` gives None where the values lack what it needs. With `larger_is_better` it is a rate.
    """

    name: str
    unit: str
    kind: str
    of: Callable[[Values, float], float | None]
    larger_is_better: bool = False


def _value(key: str) -> Callable[[Values, float], float | None]:
    return lambda values, seconds: values.get(key)


def tokens_per_s(values: Values, seconds: float) -> float | None:
    """Of the tokens behind the first."""
    decode_s, count = values.get("decode_s"), values.get("n_tokens", 0)
    return (count - 1) / decode_s if decode_s and count > 1 else None


def rtfx(values: Values, seconds: float) -> float | None:
    """Seconds of audio heard in a second."""
    return seconds / values["total_s"] if values.get("total_s") else None


def peak_gb(values: Values, seconds: float) -> float | None:
    """What the process held at most, or on a GPU what MLX held, where that is more."""
    peaks = [values[key] for key in ("peak_resident_bytes", "peak_device_bytes") if key in values]
    return max(peaks) / 1e9 if peaks else None


QUANTITIES = (
    Quantity("load", "s", LOAD, _value("load_s")),
    Quantity("first call", "s", COLD, _value("total_s")),
    Quantity("features", "s", STAGES, _value("features_s")),
    Quantity("encoder", "s", STAGES, _value("encoder_s")),
    Quantity("projector", "s", STAGES, _value("projector_s")),
    Quantity("prefill", "s", STAGES, _value("prefill_s")),
    Quantity("decode", "tokens/s", STAGES, tokens_per_s, larger_is_better=True),
    Quantity("end to end", "s", END_TO_END, _value("total_s")),
    Quantity("first token", "s", END_TO_END, _value("first_token_s")),
    Quantity("RTFx", "x", END_TO_END, rtfx, larger_is_better=True),
    Quantity("peak memory", "GB", END_TO_END, peak_gb),
)


@dataclass(frozen=True)
class Cell:
    """One contender's figure, and which part of the machine's limit it is, if that is known."""

    figure: Spread
    of_limit: float | None = None


@dataclass(frozen=True)
class Row:
    """One quantity at one length of audio (0: of no recording), by contender."""

    model: str
    seconds: float
    quantity: Quantity
    cells: Mapping[str, Cell]

    def times(self, ours: str, theirs: str) -> float | None:
        """How many times as good as theirs ours is."""
        if ours not in self.cells or theirs not in self.cells:
            return None
        one, other = (self.cells[name].figure.median for name in (ours, theirs))
        if not self.quantity.larger_is_better:
            one, other = other, one
        return one / other if other else None


@dataclass(frozen=True)
class MeasuredLimits:
    """Medians over the rounds: operations and bytes a second; None where nothing was measured."""

    flops_per_s: Spread | None
    bytes_per_s: Spread | None
    square_flops_per_s: Spread | None = None
    row_bytes_per_s: Spread | None = None


def measured_limits(records: Iterable[Record], dtype: str) -> MeasuredLimits:
    """What the machine could do while the contenders were measured."""
    values = [record.values for record in records if record.kind == LIMITS]
    rates = [v[f"{dtype}_flops_per_s"] for v in values if v.get(f"{dtype}_flops_per_s")]
    others = (
        spread_if_any(v[name] for v in values if name in v)
        for name in ("bytes_per_s", "square_flops_per_s", "row_bytes_per_s")
    )
    return MeasuredLimits(spread_if_any(rates), *others)


def rows(
    records: Sequence[Record], contenders: Sequence[str], config: SpeechConfig, dtype: str
) -> Iterator[Row]:
    """All figures of one model, by length of audio."""
    limits = measured_limits(records, dtype)
    for seconds in sorted({r.seconds for r in records if r.kind not in (LIMITS, PROFILE)}):
        for quantity in QUANTITIES:
            cells = {}
            for name in contenders:
                mine = [r for r in records if r.contender == name]
                here = [r for r in mine if (r.kind, r.seconds) == (quantity.kind, seconds)]
                known = (quantity.of(record.values, seconds) for record in here)
                figure = spread_if_any(value for value in known if value is not None)
                if figure is not None:
                    loads = [r.values for r in mine if r.kind == LOAD]
                    shape = {**(loads[-1] if loads else {}), **here[-1].values}
                    part = fraction(quantity.name, figure.median, shape, config, dtype, limits)
                    cells[name] = Cell(figure, part)
            if cells:
                yield Row(records[0].model, seconds, quantity, cells)


def fraction(
    quantity: str,
    median: float,
    shape: Values,
    config: SpeechConfig,
    dtype: str,
    limits: MeasuredLimits,
) -> float | None:
    """Which part of the limit a stage's median is; None for a stage that has none.

    Args:
        shape: `n_frames`, `n_positions`, `n_tokens` of the measurement, and `token_weight_bytes`
            where the contender tells what a token reads.
    """
    if quantity == "decode" and limits.bytes_per_s is not None:
        return median * token_bytes(shape, config, dtype) / limits.bytes_per_s.median
    products = {
        "encoder": lambda: encoder_products(config.encoder, round(shape["n_frames"])),
        "projector": lambda: projector_products(config, round(shape["n_frames"])),
        "prefill": lambda: decoder_products(config.text, round(shape["n_positions"])),
    }
    if quantity not in products or limits.flops_per_s is None or not median:
        return None
    return flops(products[quantity]()) / median / limits.flops_per_s.median


def token_bytes(shape: Values, config: SpeechConfig, dtype: str) -> float:
    """What one token of the decoding stage reads, in the middle of it."""
    item_bytes = ITEM_BYTES[dtype]
    weights = shape.get("token_weight_bytes", item_bytes * decoder_weights(config.text))
    n_positions = round(shape["n_positions"] + shape["n_tokens"] / 2)
    return weights + item_bytes * cache_values(config.text, n_positions)


def profiles(records: Iterable[Record]) -> dict[str, dict[str, float]]:
    """By contender, the encoder's parts in seconds."""
    return {
        r.contender: {
            key.removesuffix("_s"): value
            for key, value in r.values.items()
            if key.endswith("_s")
        }
        for r in records
        if r.kind == PROFILE
    }  # fmt: skip


def others(records: Iterable[Record]) -> Spread | None:
    """What part of the machine others took during the measurements."""
    return spread_if_any(r.values[OTHERS] for r in records if OTHERS in r.values)


def texts(records: Iterable[Record]) -> dict[float, dict[str, str]]:
    """What each contender wrote of each whole recording: the same, if they compute the same."""
    found: dict[float, dict[str, str]] = {}
    for record in records:
        if record.kind == END_TO_END and record.text is not None:
            found.setdefault(record.seconds, {})[record.contender] = record.text
    return found
