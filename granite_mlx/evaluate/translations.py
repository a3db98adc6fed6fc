"""BLEU and chrF of translations, by sacrebleu, from statistics that can be summed and resampled."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from granite_mlx.evaluate.bootstrap import Interval, Resampling
from granite_mlx.evaluate.errors import EvaluationError

if TYPE_CHECKING:
    from sacrebleu.metrics.base import Metric

TOKENISERS = {"zh": "zh", "ja": "char"}
"""sacrebleu's for languages without spaces; its Japanese one needs a dictionary beside it."""

DEFAULT_TOKENISER = "13a"


@dataclass(frozen=True)
class Translated:
    """The wanted translations into one language, and those got."""

    language: str
    wanted: tuple[str, ...]
    got: tuple[str, ...]


class TranslationMetric:
    """One of sacrebleu's metrics over texts in one language."""

    def __init__(self, metric: Metric) -> None:
        self._metric = metric

    @property
    def signature(self) -> str:
        """What has to be named beside the figure, so that others can compute it."""
        return str(self._metric.get_signature())

    def statistics(self, texts: Translated) -> np.ndarray:
        """(n, k): of each text, what the metric sums over a corpus."""
        if not texts.wanted:
            return np.zeros((0, 1))
        # Under their public methods sacrebleu's metrics are these two: a score of summed counts.
        rows: Any = self._metric._extract_corpus_statistics(list(texts.got), [list(texts.wanted)])
        return np.array(rows, dtype=np.float64)

    def score(self, total: np.ndarray) -> float:
        """Of summed statistics, 0 to 100."""
        return float(self._metric._compute_score_from_stats([int(n) for n in total]).score)

    def interval(self, texts: Translated, resampling: Resampling) -> Interval:
        """The corpus score."""
        return resampling.statistic(self.statistics(texts), self.score)


def metrics_for(language: str) -> dict[str, TranslationMetric]:
    """ "bleu" and "chrf" for texts in a language.

    Raises:
        EvaluationError: sacrebleu is not installed.
    """
    check_sacrebleu()
    from sacrebleu.metrics.bleu import BLEU
    from sacrebleu.metrics.chrf import CHRF

    # Without `force` it logs a warning about texts whose points stand apart.
    tokeniser = TOKENISERS.get(language, DEFAULT_TOKENISER)
    return {
        "bleu": TranslationMetric(BLEU(tokenize=tokeniser, force=True)),
        "chrf": TranslationMetric(CHRF()),
    }


def check_sacrebleu() -> None:
    """EvaluationError where it is not installed: to be told before anything takes long."""
    try:
        import sacrebleu  # noqa: F401
    except ImportError as error:
        raise EvaluationError(
            "rows with a target are scored by the package sacrebleu; install it with pip install "
            "'granite-mlx[eval]'."
        ) from error


def grouped(
    languages: Sequence[str], wanted: Sequence[str], got: Sequence[str]
) -> list[Translated]:
    """Texts by the language they are in, in its order of appearance."""
    places: dict[str, list[int]] = {}
    for place, language in enumerate(languages):
        places.setdefault(language, []).append(place)
    return [
        Translated(language, tuple(wanted[i] for i in some), tuple(got[i] for i in some))
        for language, some in places.items()
    ]
