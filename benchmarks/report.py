"""Figures to a Markdown document and to JSON."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from benchmarks.contenders.known import OURS, rival
from benchmarks.schedule import Settings
from benchmarks.session import Outcome
from benchmarks.summary import (
    MeasuredLimits,
    Row,
    measured_limits,
    others,
    profiles,
    rows,
    texts,
)
from benchmarks.tables import markdown
from granite_mlx.bench.machine import Machine
from granite_mlx.bench.spread import Spread
from granite_mlx.model.config import SpeechConfig


def document(
    machine: Machine, settings: Settings, outcomes: Sequence[tuple[Outcome, SpeechConfig]]
) -> str:
    """Everything in Markdown."""
    parts = [
        f"{machine.chip}, {machine.cores} cores, {machine.memory_bytes / 1e9:.0f} GB, "
        f"{machine.system}. Medians of up to {settings.n_runs} runs, one contender after the other "
        "in each, with lowest and highest."
    ]
    for outcome, config in outcomes:
        parts += _model_parts(outcome, config, settings)
    return "\n\n".join(parts) + "\n"


def _model_parts(outcome: Outcome, config: SpeechConfig, settings: Settings) -> list[str]:
    model, names = outcome.model, [name for name in outcome.versions if name != "limits"]
    figures = list(rows(outcome.records, names, config, model.dtype)) if outcome.records else []
    limits = measured_limits(outcome.records, model.dtype)
    length = (
        f"Every text has {settings.n_tokens} tokens exactly."
        if model.forced
        else f"The decoding stage writes {settings.n_tokens} tokens; whole texts end by themselves."
    )
    parts = [f"## {model.name}, {model.dtype}", _versions(outcome), length, _limits(limits)]
    parts.append(_quiet(others(outcome.records)))
    if figures:
        parts.append(table(figures, names))
    parts += [profile_table(name, found) for name, found in profiles(outcome.records).items()]
    if not model.forced:
        parts.append(_agreement(texts(outcome.records)))
    for title, sentences in (("Left out", outcome.left_out), ("Failed", outcome.failures)):
        if sentences:
            parts.append(f"{title}:\n\n" + "\n".join(f"- {sentence}" for sentence in sentences))
    return [part for part in parts if part]


def _versions(outcome: Outcome) -> str:
    return "\n".join(
        f"- {name}: {', '.join(f'{package} {number}' for package, number in versions.items())}"
        for name, versions in outcome.versions.items()
    )


def _limits(limits: MeasuredLimits) -> str:
    told = []
    if limits.flops_per_s is not None:
        told.append(f"products {scaled(limits.flops_per_s, 1e9)} GFLOP/s")
    if limits.square_flops_per_s is not None:
        told.append(f"a square one in float32 {scaled(limits.square_flops_per_s, 1e9)} GFLOP/s")
    if limits.bytes_per_s is not None:
        told.append(f"reading {scaled(limits.bytes_per_s, 1e9)} GB/s")
    if limits.row_bytes_per_s is not None:
        told.append(f"MLX's product of one row {scaled(limits.row_bytes_per_s, 1e9)} GB/s")
    return f"The machine's limits in the same run: {', '.join(told)}." if told else ""


def _quiet(share: Spread | None) -> str:
    """Whether the machine was at rest."""
    if share is None:
        return ""
    return (
        f"Other processes took {100 * share.median:.0f} % of the cores meanwhile, "
        f"{100 * share.highest:.0f} % at most."
    )


def table(figures: Iterable[Row], contenders: Sequence[str]) -> str:
    """One row for each length and quantity; beside each other contender how many times as good
    ours is."""
    rivals = {name: ours for name in contenders if (ours := rival(name, contenders)) is not None}
    head = ["audio", "stage", *contenders, *(f"ours to {name}" for name in rivals)]
    lines = []
    for row in figures:
        cells = [_cell(row, name) for name in contenders]
        times = (row.times(ours, name) for name, ours in rivals.items())
        ratios = ["" if ratio is None else f"{ratio:.2f} x" for ratio in times]
        stage = f"{row.quantity.name}, {row.quantity.unit}"
        lines.append([f"{row.seconds:g} s" if row.seconds else "", stage, *cells, *ratios])
    return markdown(head, lines)


def _cell(row: Row, name: str) -> str:
    cell = row.cells.get(name)
    if cell is None:
        return ""
    part = "" if cell.of_limit is None else f", {100 * cell.of_limit:.0f} % of the limit"
    return scaled(cell.figure, 1) + part


def scaled(figure: Spread, unit: float) -> str:
    """Median (lowest to highest); the median alone of a single measurement."""
    middle, lowest, highest = (
        number(value / unit) for value in (figure.median, figure.lowest, figure.highest)
    )
    return middle if figure.n == 1 else f"{middle} ({lowest} to {highest})"


def number(value: float) -> str:
    """Three digits that count."""
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:#.3g}".rstrip(".")


def profile_table(name: str, parts: Mapping[str, float]) -> str:
    """Where one encoder pass goes, the largest part first."""
    whole_s = parts["whole"]
    ordered = sorted((item for item in parts.items() if item[0] != "whole"), key=lambda i: -i[1])
    lines = [[part, number(s), f"{100 * s / whole_s:.0f} %"] for part, s in ordered]
    lines.append(["whole", number(whole_s), "100 %"])
    return markdown([f"encoder of {name}", "s", "of the pass"], lines)


def _agreement(found: Mapping[float, Mapping[str, str]]) -> str:
    """Whether everybody wrote the same."""
    told = []
    for seconds, by_name in sorted(found.items()):
        if OURS in by_name and len(by_name) > 1:
            other = [name for name, text in by_name.items() if text != by_name[OURS]]
            verdict = f"others than ours by {', '.join(other)}" if other else "the same by all"
            told.append(f"{seconds:g} s: {verdict}")
    return f"Texts: {'; '.join(told)}." if told else ""


def content(
    machine: Machine,
    settings: Settings,
    outcomes: Sequence[tuple[Outcome, SpeechConfig]],
    command: Sequence[str],
) -> dict[str, Any]:
    """Everything for JSON: figures, and the measurements that they come from."""
    return {
        "machine": asdict(machine),
        "command": list(command),
        "settings": asdict(settings),
        "models": [_model_content(outcome, config) for outcome, config in outcomes],
    }


def _model_content(outcome: Outcome, config: SpeechConfig) -> dict[str, Any]:
    names = list(outcome.versions)
    dtype = outcome.model.dtype
    figures = rows(outcome.records, names, config, dtype) if outcome.records else []
    return {
        "model": outcome.model.name,
        "dtype": dtype,
        "forced_length": outcome.model.forced,
        "versions": {name: dict(versions) for name, versions in outcome.versions.items()},
        "limits": asdict(measured_limits(outcome.records, dtype)),
        "others_share": None if (share := others(outcome.records)) is None else asdict(share),
        "figures": [
            {
                "seconds": row.seconds,
                "stage": row.quantity.name,
                "unit": row.quantity.unit,
                "contenders": {name: asdict(cell) for name, cell in row.cells.items()},
            }
            for row in figures
        ],
        "profiles_s": profiles(outcome.records),
        "left_out": list(outcome.left_out),
        "failures": list(outcome.failures),
        "measurements": [asdict(record) for record in outcome.records],
    }
