"""The cells of the table that stdout and the report show: only columns in which something is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

Figures = Mapping[str, Any]

TOTAL = "total"


def table(summary: Mapping[str, Any]) -> list[list[str]]:
    """A head and a row for each run, and for each language where there are several."""
    rows = [dict(run=run["name"], **cells) for run in summary["runs"] for cells in _parts(run)]
    names = [name for name in rows[0] if any(row[name] for row in rows)]
    return [names, *([row[name] for name in names] for row in rows)]


def difference_lines(summary: Mapping[str, Any]) -> list[list[str]]:
    """A head and a row for each figure in which two runs were compared; empty without any."""
    rows = [
        [
            comparison["run"],
            comparison["baseline"],
            one["figure"],
            str(one["n_utterances"]),
            _signed(one["difference"]),
            bounds(one["interval"], signed=True),
            "yes" if one["is_significant"] else "no",
        ]
        for comparison in summary["comparisons"]
        for one in comparison["differences"]
    ]
    head = ["run", "less", "figure", "utterances", "difference", "95 % of draws", "significant"]
    return [head, *rows] if rows else []


def gigabytes(n_bytes: int | None) -> str:
    """In GB, or in MB where that is less than one; nothing where it is not known."""
    if n_bytes is None:
        return ""
    return f"{n_bytes / 1e9:.2f} GB" if n_bytes >= 1e9 else f"{n_bytes / 1e6:.0f} MB"


def bounds(interval: Sequence[float] | None, *, signed: bool = False) -> str:
    """ "1.2 to 3.4"; nothing where it is not known."""
    if interval is None:
        return ""
    low, high = interval
    return f"{_signed(low)} to {_signed(high)}" if signed else f"{low:.2f} to {high:.2f}"


def _parts(run: Mapping[str, Any]) -> list[dict[str, str]]:
    languages = run["languages"]
    several = len(languages) > 1
    only = next(iter(languages), TOTAL)
    parts = [_cells(name, figures) for name, figures in languages.items()] if several else []
    return [*parts, _cells(TOTAL if several else only, run["total"])]


def _cells(language: str, figures: Figures) -> dict[str, str]:
    keywords = figures["keywords"] or {}
    return {
        "language": language,
        "utterances": str(figures["n_utterances"]),
        "failed": str(figures["n_failed"] or ""),
        "missing": str(figures["n_missing"] or ""),
        "WER %": _number(figures["wer"]),
        "95 % of draws": bounds(figures["wer_interval"]),
        "CER %": _number(figures["cer"]),
        "BLEU": _translation(figures, "bleu"),
        "chrF": _translation(figures, "chrf"),
        "keyword P/R/F1 %": _keywords(keywords),
        "RTFx": _number(figures["rtfx"], 1),
        "median s": _number(figures["latency_median_s"], 3),
        "95th % s": _number(figures["latency_p95_s"], 3),
        "peak": gigabytes(figures["peak_memory_bytes"]),
    }


def _translation(figures: Figures, name: str) -> str:
    by_language = figures["translation"]
    return ", ".join(f"{to} {_number(of[name], 1)}" for to, of in by_language.items())


def _keywords(keywords: Figures) -> str:
    if not keywords:
        return ""
    values = (keywords["precision"], keywords["recall"], keywords["f1"])
    return " / ".join(_number(value, 1) or "-" for value in values)


def _number(value: float | None, digits: int = 2) -> str:
    return "" if value is None else f"{value:.{digits}f}"


def _signed(value: float | None) -> str:
    return "" if value is None else f"{value:+.2f}"
