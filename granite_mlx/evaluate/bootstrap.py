"""How far a figure might be off, had other utterances of the kind been chosen.

Utterances are drawn anew with replacement, a thousand times, and the figure is computed each time
(Bisani and Ney, 2004). Draws are kept as how often each utterance occurs, so that a figure that is
a ratio of sums is one matrix product.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

N_SAMPLES = 1000
SEED = 20261128
LEVEL = 0.95
LARGEST_BLOCK = 4_000_000
"""Counts that are held at once."""


@dataclass(frozen=True)
class Interval:
    """A figure and the range that holds 95 of 100 resampled ones. NaN where there is none."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Resampling:
    """How the draws are made; the same seed gives the same draws of as many utterances."""

    n_samples: int = N_SAMPLES
    seed: int = SEED

    def draws(self, n_utterances: int) -> Iterator[np.ndarray]:
        """Blocks (b, n_utterances) of counts, `n_samples` rows in all."""
        rng = np.random.default_rng(self.seed)
        n_left = self.n_samples
        while n_left:
            n_rows = min(n_left, max(1, LARGEST_BLOCK // n_utterances))
            drawn = rng.integers(n_utterances, size=(n_rows, n_utterances))
            places = drawn + n_utterances * np.arange(n_rows)[:, None]
            counts = np.bincount(places.ravel(), minlength=n_rows * n_utterances)
            yield counts.reshape(n_rows, n_utterances)
            n_left -= n_rows

    def ratio(self, above: np.ndarray, below: np.ndarray, scale: float = 100.0) -> Interval:
        """`scale` times the sum of `above` by that of `below`, both (n,)."""
        value = float(_ratio(above.sum(), below.sum(), scale))
        if not len(above):
            return Interval(value, np.nan, np.nan)
        resampled = [
            _ratio(counts @ above, counts @ below, scale) for counts in self.draws(len(above))
        ]
        return _interval(value, np.concatenate(resampled))

    def difference(
        self, above: np.ndarray, baseline: np.ndarray, below: np.ndarray, scale: float = 100.0
    ) -> Interval:
        """Of two ratios over the same utterances and the same `below`: the first less the other."""
        return self.ratio(above - baseline, below, scale)

    def statistic(self, rows: np.ndarray, figure: Callable[[np.ndarray], float]) -> Interval:
        """Of any figure of summed statistics: `rows` (n, k), `figure` takes their sum (k,)."""
        value = figure(rows.sum(axis=0)) if len(rows) else np.nan
        if not len(rows):
            return Interval(value, np.nan, np.nan)
        resampled = [figure(total) for counts in self.draws(len(rows)) for total in counts @ rows]
        return _interval(value, np.array(resampled))


def _ratio(above: np.ndarray, below: np.ndarray, scale: float) -> np.ndarray:
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(below > 0, scale * above / below, np.nan)


def _interval(value: float, resampled: np.ndarray) -> Interval:
    known = resampled[~np.isnan(resampled)]
    if not len(known):
        return Interval(value, np.nan, np.nan)
    low, high = np.quantile(known, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Interval(value, float(low), float(high))
