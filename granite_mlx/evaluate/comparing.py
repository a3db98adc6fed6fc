"""Two runs over the same utterances: how far apart they are, and how sure that is."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from granite_mlx.evaluate.bootstrap import Interval, Resampling
from granite_mlx.evaluate.figures import errors_of, f1_percent, keyword_counts, translated
from granite_mlx.evaluate.scored import Scored, ScoredRun
from granite_mlx.evaluate.translations import metrics_for


def compare(run: ScoredRun, baseline: ScoredRun, resampling: Resampling) -> dict[str, Any]:
    """Each figure of `run` less that of `baseline`, over the utterances that both have.

    Each draw takes the same utterances of both (a paired bootstrap). `is_significant` says that 95
    of 100 differences have one sign: the interval leaves out 0. A single utterance has no interval.
    """
    ours, theirs = _shared(run, baseline)
    return {
        "run": run.name,
        "baseline": baseline.name,
        "n_shared": len(ours),
        "n_changed": sum(
            a.answer.hypothesis != b.answer.hypothesis
            or a.answer.translation != b.answer.translation
            for a, b in zip(ours, theirs, strict=True)
        ),
        "differences": [
            *_rates(ours, theirs, resampling),
            *_translations(ours, theirs, resampling),
            *_keywords(ours, theirs, resampling),
        ],
    }


def _shared(run: ScoredRun, baseline: ScoredRun) -> tuple[list[Scored], list[Scored]]:
    of_baseline = {one.row.id: one for one in baseline.scored}
    pairs = [(one, of_baseline[one.row.id]) for one in run.scored if one.row.id in of_baseline]
    return [one for one, _ in pairs], [other for _, other in pairs]


def _both(
    ours: list[Scored], theirs: list[Scored], has: Callable[[Scored], bool]
) -> tuple[list[Scored], list[Scored]]:
    """Those that can be compared in what `has` asks for."""
    pairs = [(a, b) for a, b in zip(ours, theirs, strict=True) if has(a) and has(b)]
    return [a for a, _ in pairs], [b for _, b in pairs]


def _rates(
    ours: list[Scored], theirs: list[Scored], resampling: Resampling
) -> list[dict[str, Any]]:
    ours, theirs = _both(ours, theirs, lambda one: one.text is not None)
    if not ours:
        return []
    a, b = errors_of(ours), errors_of(theirs)
    words = resampling.difference(a.words, b.words, a.n_words)
    characters = resampling.difference(a.characters, b.characters, a.n_characters)
    return [_named("wer", words, len(ours)), _named("cer", characters, len(ours))]


def _translations(
    ours: list[Scored], theirs: list[Scored], resampling: Resampling
) -> list[dict[str, Any]]:
    ours, theirs = _both(ours, theirs, lambda one: one.is_translated)
    found = []
    for a, b in zip(translated(ours), translated(theirs), strict=True):
        for name, metric in metrics_for(a.language).items():
            rows = np.hstack([metric.statistics(a), metric.statistics(b)])
            half = rows.shape[1] // 2
            interval = resampling.statistic(
                rows,
                lambda total, metric=metric, half=half: (  # type: ignore[misc]
                    metric.score(total[:half]) - metric.score(total[half:])
                ),
            )
            found.append(_named(f"{name} ({a.language})", interval, len(a.wanted)))
    return found


def _keywords(
    ours: list[Scored], theirs: list[Scored], resampling: Resampling
) -> list[dict[str, Any]]:
    ours, theirs = _both(ours, theirs, lambda one: one.keywords is not None)
    if not ours:
        return []
    rows = np.hstack(
        [keyword_counts([one.keywords for one in some if one.keywords]) for some in (ours, theirs)]
    )
    interval = resampling.statistic(
        rows, lambda total: f1_percent(total[:3]) - f1_percent(total[3:])
    )
    return [_named("keyword F1", interval, len(ours))]


def _named(name: str, interval: Interval, n: int) -> dict[str, Any]:
    value, low, high = (
        round(x, 3) if math.isfinite(x) else None
        for x in (interval.value, interval.low, interval.high)
    )
    # All draws of one utterance are the same, which tells nothing of another choice.
    known = low is not None and high is not None and n > 1
    return {
        "figure": name,
        "n_utterances": n,
        "difference": value,
        "interval": [low, high] if known else None,
        "is_significant": bool(known and (interval.low > 0 or interval.high < 0)),
    }
