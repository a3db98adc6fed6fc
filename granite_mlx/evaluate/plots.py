"""Plots as SVG that stands inside a page: no scripts, no fonts, nothing fetched."""

from __future__ import annotations

import html
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

WIDTH, LABELS, RIGHT = 760, 250, 70
ROW, TOP, FOOT = 24, 12, 34
PLOT_HEIGHT = 240
LEFT = 52
N_TICKS = 5
LONGEST_LABEL = 38


@dataclass(frozen=True)
class Mark:
    """A value with the range around it, None where that is not known."""

    label: str
    value: float
    interval: Sequence[float] | None


def intervals(marks: Sequence[Mark], unit: str) -> str:
    """A row for each mark: a dot, and a line over its interval. Zero is on the axis."""
    known = [x for mark in marks for x in (mark.value, *(mark.interval or ()))]
    low, high = min(0.0, *known), max(0.0, *known)
    ticks = _ticks(low, high)
    low, high = min(low, ticks[0]), max(high, ticks[-1])
    scale = (WIDTH - LABELS - RIGHT) / ((high - low) or 1.0)

    def x(value: float) -> float:
        return LABELS + (value - low) * scale

    bottom = TOP + ROW * len(marks)
    parts = _grid(((x(tick), tick) for tick in ticks), TOP, bottom, unit)
    for n, mark in enumerate(marks):
        y = TOP + ROW * (n + 0.5)
        parts.append(_text(LABELS - 8, y + 4, _short(mark.label), "end"))
        if mark.interval is not None:
            start, end = (x(bound) for bound in mark.interval)
            parts.append(_line(start, y, end, y, "range"))
        parts.append(f'<circle class="dot" cx="{x(mark.value):.1f}" cy="{y:.1f}" r="4"/>')
        beside = max(x(value) for value in (mark.value, *(mark.interval or ())))
        parts.append(_text(beside + 8, y + 4, f"{mark.value:.2f}", "start"))
    return _svg(bottom + FOOT, parts)


def histogram(values: Sequence[float], edges: Sequence[float], unit: str) -> str:
    """How many values lie between each two edges; those beyond the last count in the last."""
    counts, _ = np.histogram(np.clip(values, edges[0], edges[-1]), bins=np.asarray(edges))
    highest = max(1, int(counts.max()))
    bottom = TOP + PLOT_HEIGHT
    width = (WIDTH - LEFT - RIGHT) / len(counts)
    parts = []
    for n, count in enumerate(counts):
        height = PLOT_HEIGHT * int(count) / highest
        left = LEFT + n * width
        parts.append(
            f'<rect class="bar" x="{left + 1:.1f}" y="{bottom - height:.1f}" '
            f'width="{width - 2:.1f}" height="{height:.1f}"/>'
        )
        if count:
            parts.append(_text(left + width / 2, bottom - height - 3, str(int(count)), "middle"))
        parts.append(_text(left, bottom + 16, f"{edges[n]:g}", "middle"))
    parts.append(_text(WIDTH - RIGHT, bottom + 16, f"{edges[-1]:g} or more", "middle"))
    parts.append(_text(LEFT + (WIDTH - LEFT - RIGHT) / 2, bottom + 32, unit, "middle"))
    return _svg(bottom + FOOT + 6, parts, above=10)


def scatter(points: Sequence[tuple[float, float]], across: str, up: str) -> str:
    """A dot for each point, from zero on both axes."""
    right, top = (max(point[axis] for point in points) for axis in (0, 1))
    ticks_x, ticks_y = _ticks(0.0, right), _ticks(0.0, top)
    right, top = max(right, ticks_x[-1]) or 1.0, max(top, ticks_y[-1]) or 1.0
    bottom = TOP + PLOT_HEIGHT

    def x(value: float) -> float:
        return LEFT + value / right * (WIDTH - LEFT - RIGHT)

    def y(value: float) -> float:
        return bottom - value / top * PLOT_HEIGHT

    parts = _grid(((x(tick), tick) for tick in ticks_x), TOP, bottom, across, middle=WIDTH / 2)
    for tick in ticks_y:
        parts.append(_line(LEFT, y(tick), WIDTH - RIGHT, y(tick), "grid"))
        parts.append(_text(LEFT - 6, y(tick) + 4, f"{tick:g}", "end"))
    parts.append(_text(LEFT, TOP - 6, up, "start"))
    parts += [f'<circle class="point" cx="{x(a):.1f}" cy="{y(b):.1f}" r="2.5"/>' for a, b in points]
    return _svg(bottom + FOOT, parts, above=10)


def _svg(height: float, parts: Iterable[str], above: float = 0.0) -> str:
    box = f"0 {0 - above:g} {WIDTH} {height + above:g}"
    return f'<svg viewBox="{box}" role="img">{"".join(parts)}</svg>'


def _grid(
    ticks: Iterable[tuple[float, float]],
    top: float,
    bottom: float,
    unit: str,
    middle: float = (LABELS + WIDTH - RIGHT) / 2,
) -> list[str]:
    parts = []
    for place, tick in ticks:
        parts.append(_line(place, top, place, bottom, "zero" if tick == 0 else "grid"))
        parts.append(_text(place, bottom + 14, f"{tick:g}", "middle"))
    return [*parts, _text(middle, bottom + 30, unit, "middle")]


def _ticks(low: float, high: float) -> list[float]:
    """Round values that span the range."""
    span = (high - low) or 1.0
    step = 10 ** math.floor(math.log10(span / N_TICKS))
    step *= next(factor for factor in (1, 2, 5, 10) if span / (step * factor) <= N_TICKS)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(n * step, 10) for n in range(first, last + 1)]


def _line(x1: float, y1: float, x2: float, y2: float, kind: str) -> str:
    return f'<line class="{kind}" x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"/>'


def _text(x: float, y: float, content: str, anchor: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{html.escape(content)}</text>'


def _short(label: str) -> str:
    return label if len(label) <= LONGEST_LABEL else f"{label[: LONGEST_LABEL - 1]}…"
