"""summary.json: all figures of all runs, their differences, and what is needed to repeat them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from granite_mlx.evaluate.bootstrap import Resampling
from granite_mlx.evaluate.comparing import compare
from granite_mlx.evaluate.figures import figures_of
from granite_mlx.evaluate.scored import ScoredRun

SUMMARY = "summary.json"
VERSION = 1
NOT_GIVEN = "not given"
"""What stands for the language of rows that do not say."""


def summarise(
    runs: Sequence[ScoredRun], resampling: Resampling, facts: Mapping[str, Any]
) -> dict[str, Any]:
    """JSON values. `wer` and `cer` are those of the first run, with which the others are compared.

    Args:
        runs: at least one.
        facts: what else is to be told, beside the figures.

    Raises:
        EvaluationError: there are translations, and sacrebleu is not installed.
    """
    first = runs[0]
    all_figures = [_run(run, resampling) for run in runs]
    return {
        "version": VERSION,
        "run": first.name,
        "wer": all_figures[0]["total"]["wer"],
        "cer": all_figures[0]["total"]["cer"],
        "runs": all_figures,
        "comparisons": [compare(run, first, resampling) for run in runs[1:]],
        "bootstrap": {"samples": resampling.n_samples, "seed": resampling.seed, "percent": 95},
        **facts,
    }


def _run(run: ScoredRun, resampling: Resampling) -> dict[str, Any]:
    total = figures_of(run, resampling)
    languages = run.languages
    parts = [run.only(language) for language in languages]
    # A single language is the total.
    each = [total] if len(parts) == 1 else [figures_of(part, resampling) for part in parts]
    names = [NOT_GIVEN if language is None else language for language in languages]
    return {"name": run.name, "total": total, "languages": dict(zip(names, each, strict=True))}
