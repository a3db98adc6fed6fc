"""All figures of a group of utterances, with the intervals they lie in."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from granite_mlx.evaluate.bootstrap import Interval, Resampling
from granite_mlx.evaluate.scored import Scored, ScoredRun
from granite_mlx.evaluate.scoring import KeywordScore, TextScore
from granite_mlx.evaluate.translations import Translated, grouped, metrics_for

SPEED_PERCENTILE = 95


@dataclass(frozen=True)
class Errors:
    """(n,) each: of n utterances, edits and what was wanted."""

    words: np.ndarray
    n_words: np.ndarray
    characters: np.ndarray
    n_characters: np.ndarray


def errors_of(scored: Sequence[Scored]) -> Errors:
    """Of the utterances that have a transcript and a reference."""
    scores = [one.text for one in scored if one.text is not None]

    def column(value: Callable[[TextScore], int]) -> np.ndarray:
        return np.array([value(score) for score in scores], dtype=np.float64)

    return Errors(
        column(lambda score: score.n_word_errors),
        column(lambda score: score.n_words),
        column(lambda score: score.n_character_errors),
        column(lambda score: score.n_characters),
    )


def figures_of(run: ScoredRun, resampling: Resampling) -> dict[str, Any]:
    """JSON values; rates in percent, times in seconds, null where nothing is known.

    Raises:
        EvaluationError: there are translations, and sacrebleu is not installed.
    """
    figures: dict[str, Any] = {
        "n_utterances": len(run.scored),
        "n_failed": run.n_failed,
        "n_missing": run.n_missing,
        "audio_s": _rounded(sum(one.answer.duration_s or 0.0 for one in run.scored)),
    }
    figures |= _text_figures(run.scored, resampling)
    figures |= _translation_figures(run.scored, resampling)
    figures |= _keyword_figures(run.scored, resampling)
    return figures | _speed_figures(run.scored)


def _text_figures(scored: Sequence[Scored], resampling: Resampling) -> dict[str, Any]:
    scores = [one.text for one in scored if one.text is not None]
    errors = errors_of(scored)
    wer = resampling.ratio(errors.words, errors.n_words)
    cer = resampling.ratio(errors.characters, errors.n_characters)
    return {
        **_named("wer", wer),
        **_named("cer", cer),
        "n_words": sum(score.n_words for score in scores),
        "n_characters": sum(score.n_characters for score in scores),
        "substitutions": sum(score.n_substituted for score in scores),
        "deletions": sum(score.n_deleted for score in scores),
        "insertions": sum(score.n_inserted for score in scores),
        "wrong_utterances": _percent(sum(score.n_word_errors > 0 for score in scores), len(scores)),
    }


def _translation_figures(scored: Sequence[Scored], resampling: Resampling) -> dict[str, Any]:
    """By the language that is written: one metric over several would mean nothing."""
    by_language = {}
    for texts in translated(scored):
        figures: dict[str, Any] = {"n_utterances": len(texts.wanted)}
        for name, metric in metrics_for(texts.language).items():
            figures |= _named(name, metric.interval(texts, resampling))
            figures[f"{name}_signature"] = metric.signature
        by_language[texts.language] = figures
    return {"translation": by_language}


def translated(scored: Sequence[Scored]) -> list[Translated]:
    """The translations of a group, by language."""
    some = [one for one in scored if one.is_translated]
    return grouped(
        [one.row.target_language or "" for one in some],
        [one.row.target or "" for one in some],
        [one.answer.translation or "" for one in some],
    )


def _keyword_figures(scored: Sequence[Scored], resampling: Resampling) -> dict[str, Any]:
    scores = [one.keywords for one in scored if one.keywords is not None]
    if not scores:
        return {"keywords": None}
    counts = keyword_counts(scores)
    right, invented, missed = (int(n) for n in counts.sum(axis=0))
    n_offered = sum(bool(k.get("offered")) for one in scored for k in one.answer.keywords)
    f1 = resampling.statistic(counts, f1_percent)
    return {
        "keywords": {
            **_named("f1", f1),
            "precision": _percent(right, right + invented),
            "recall": _percent(right, right + missed),
            "n_listed": sum(len(one.row.keywords) for one in scored),
            "n_offered": n_offered,
            "n_said": right + missed,
            "n_written": right + invented,
            "n_right": right,
        }
    }


def keyword_counts(scores: Sequence[KeywordScore]) -> np.ndarray:
    """(n, 3): right, invented, missed."""
    return np.array(
        [[one.n_right, one.n_invented, one.n_missed] for one in scores], dtype=np.float64
    ).reshape(-1, 3)


def f1_percent(counts: np.ndarray) -> float:
    """Of right, invented and missed terms; NaN where none was said or written."""
    right, invented, missed = counts
    return float(100 * 2 * right / (2 * right + invented + missed)) if counts.any() else math.nan


def _speed_figures(scored: Sequence[Scored]) -> dict[str, Any]:
    """The first call after loading counts only where there is no other."""
    answers = [one.answer for one in scored]
    warm = [answer for answer in answers if answer.is_warm] or answers
    calls = [
        (answer.duration_s, seconds, answer.n_together)
        for answer in warm
        for seconds in (answer.transcribe_s, answer.translate_s)
        if seconds is not None and answer.duration_s is not None
    ]
    total_s = sum(seconds for _, seconds, _ in calls)
    audio_s = sum(duration_s for duration_s, _, _ in calls)
    alone = [seconds for _, seconds, n_together in calls if n_together == 1]
    peaks = [answer.peak_memory_bytes for answer in answers if answer.peak_memory_bytes]
    return {
        "rtfx": _rounded(audio_s / total_s, 2) if total_s else None,
        "latency_median_s": _rounded(float(np.median(alone)), 4) if alone else None,
        "latency_p95_s": (
            _rounded(float(np.percentile(alone, SPEED_PERCENTILE)), 4) if alone else None
        ),
        "peak_memory_bytes": max(peaks) if peaks else None,
    }


def _named(name: str, interval: Interval) -> dict[str, Any]:
    low, high = _rounded(interval.low), _rounded(interval.high)
    bounds = None if low is None or high is None else [low, high]
    return {name: _rounded(interval.value), f"{name}_interval": bounds}


def _percent(n: int, total: int) -> float | None:
    return _rounded(100 * n / total) if total else None


def _rounded(value: float, digits: int = 3) -> float | None:
    return round(value, digits) if math.isfinite(value) else None
