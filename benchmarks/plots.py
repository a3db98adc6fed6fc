"""Figures as pictures, for those who have matplotlib (the extra `bench`)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.summary import Row

PLOTTED = ("encoder", "prefill", "decode", "RTFx", "first token", "peak memory")
INCHES = (11.0, 6.5)

MISSING = (
    "There are no plots: they need matplotlib, which `pip install 'granite-mlx[bench]'` brings."
)


class NoMatplotlibError(Exception):
    """The message says what to do."""


def plot(rows: Sequence[Row], contenders: Sequence[str], title: str, path: Path) -> None:
    """One panel for each quantity over the length of the audio, to a PNG.

    Raises:
        NoMatplotlibError: it is not installed.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise NoMatplotlibError(MISSING) from error
    figure = Figure(figsize=INCHES, layout="constrained")
    figure.suptitle(title)
    panels = figure.subplots(2, 3)
    for panel, name in zip(panels.flat, PLOTTED, strict=True):
        _draw(panel, [row for row in rows if row.quantity.name == name], contenders, name)
    handles, labels = panels.flat[0].get_legend_handles_labels()
    if handles:
        figure.legend(handles, labels, loc="outside lower center", ncols=len(labels))
    figure.savefig(path, dpi=120)


def _draw(panel: Any, rows: Sequence[Row], contenders: Sequence[str], name: str) -> None:
    """Medians as a line, the range as a band."""
    panel.set_title(f"{name}, {rows[0].quantity.unit}" if rows else name)
    panel.set_xlabel("audio, s")
    for contender in contenders:
        known = [
            (row.seconds, row.cells[contender].figure) for row in rows if contender in row.cells
        ]
        lengths = [seconds for seconds, _ in known]
        medians = [figure.median for _, figure in known]
        lowest = [figure.lowest for _, figure in known]
        highest = [figure.highest for _, figure in known]
        panel.plot(lengths, medians, marker="o", label=contender)
        panel.fill_between(lengths, lowest, highest, alpha=0.2)
    panel.set_ylim(bottom=0)
