"""A conversion's plan as text: a line for each tensor, the reasons, and the sizes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from granite_mlx.cli.screen import one_line

if TYPE_CHECKING:
    from granite_mlx.convert.plan import Fate, Plan

ROOMS = ("encoder", "projector", "language_model")


def plan_lines(plan: Plan) -> Iterator[str]:
    """The table; a number in brackets stands for one of the reasons below it."""
    reasons = list(dict.fromkeys(fate.reason for fate in plan.fates if fate.reason))
    head = ("tensor", "from", "to", "bytes", "")
    yield from aligned([head, *(_row(fate, reasons) for fate in plan.fates)])
    yield ""
    yield from (f"[{n}] {one_line(reason)}" for n, reason in enumerate(reasons, start=1))
    yield ""
    yield from aligned([_sum(room, fates) for room, fates in _rooms(plan)])


def gigabytes(n_bytes: int) -> str:
    """Bytes for people: 4.63 GB, 10.2 MB."""
    if n_bytes >= 1e9:
        return f"{n_bytes / 1e9:.2f} GB"
    return f"{n_bytes / 1e6:.1f} MB"


def _row(fate: Fate, reasons: Sequence[str]) -> tuple[str, ...]:
    note = f"[{reasons.index(fate.reason) + 1}]" if fate.reason else ""
    shape = "x".join(map(str, fate.shape)) or "1"
    return fate.name, f"{fate.dtype} {shape}", _destiny(fate), f"{fate.n_bytes:,}", note


def _destiny(fate: Fate) -> str:
    if fate.format is not None:
        return fate.format.describe()
    return fate.kept_dtype if fate.stored else "left out"


def _rooms(plan: Plan) -> Iterator[tuple[str, list[Fate]]]:
    for room in ROOMS:
        yield room, [fate for fate in plan.fates if fate.name.startswith(f"{room}.")]
    yield "all", list(plan.fates)


def _sum(room: str, fates: Sequence[Fate]) -> tuple[str, ...]:
    before = sum(fate.source_bytes for fate in fates)
    after = sum(fate.n_bytes for fate in fates)
    n_quantised = sum(fate.format is not None for fate in fates)
    return room, gigabytes(before), "->", gigabytes(after), f"{n_quantised} matrices quantised"


def aligned(rows: Sequence[tuple[str, ...]]) -> Iterator[str]:
    """Rows of as many cells each, as lines whose columns are aligned."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = (f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True))
        yield "  ".join(cells).rstrip()
