"""How far numbers are from those that they stand for: weights, activations, probabilities."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import mlx.core as mx
import numpy as np

from granite_mlx.model.stored import TensorSource, reading

if TYPE_CHECKING:
    from numpy.typing import NDArray

BLOCK_VALUES = 1 << 22
"""Weights compared at a time: 16 MB in float32, 32 MB where they are added up."""


@dataclass(frozen=True)
class Difference:
    """Sums of squares over two arrays, from which their errors follow. Those of several add up."""

    error: float = 0.0  # of converted - source
    source: float = 0.0
    converted: float = 0.0
    product: float = 0.0  # of source * converted, which is no square

    @classmethod
    def between(cls, source: NDArray[Any], converted: NDArray[Any]) -> Difference:
        """The difference of two arrays of one size, in float64."""
        a, b = (array.astype(np.float64).reshape(-1) for array in (source, converted))
        with np.errstate(over="ignore", invalid="ignore"):  # infinities are for the judge
            error = b - a
            return cls(float(error @ error), float(a @ a), float(b @ b), float(a @ b))

    def __add__(self, other: Difference) -> Difference:
        return Difference(
            self.error + other.error,
            self.source + other.source,
            self.converted + other.converted,
            self.product + other.product,
        )

    @property
    def relative_error(self) -> float:
        """|converted - source| / |source|."""
        if self.error == 0:
            return 0.0
        return math.sqrt(self.error / self.source) if self.source else math.inf

    @property
    def cosine(self) -> float:
        """The cosine of the angle between the two, each taken as one long vector."""
        if self.error == 0:
            return 1.0
        norms = math.sqrt(self.source) * math.sqrt(self.converted)
        return self.product / norms if norms else 0.0


@dataclass(frozen=True)
class Agreement:
    """How two decoders see the next token, added up over positions."""

    n_positions: int = 0
    n_same: int = 0  # positions where both find the same token the most probable
    kl_nats: float = 0.0

    def __add__(self, other: Agreement) -> Agreement:
        return Agreement(
            self.n_positions + other.n_positions,
            self.n_same + other.n_same,
            self.kl_nats + other.kl_nats,
        )

    @property
    def mean_kl_nats(self) -> float:
        """Mean Kullback-Leibler divergence; NaN without positions."""
        return self.kl_nats / self.n_positions if self.n_positions else math.nan

    @property
    def top1(self) -> float:
        """Share of positions with the same most probable token; NaN without positions."""
        return self.n_same / self.n_positions if self.n_positions else math.nan


def kl_nats(source: NDArray[Any], converted: NDArray[Any]) -> float:
    """KL(source || converted), added up over rows of log-probabilities (n, vocabulary).

    Each row is normalised anew, so that one that float16 has rounded is a distribution again and
    no divergence is negative.
    """
    with np.errstate(invalid="ignore"):
        return sum(_row_kl_nats(p, q) for p, q in zip(source, converted, strict=True))


def _row_kl_nats(source: NDArray[Any], converted: NDArray[Any]) -> float:
    log_p, log_q = (_normalised(row.astype(np.float64)) for row in (source, converted))
    return float(np.exp(log_p) @ (log_p - log_q))


def _normalised(log_probs: NDArray[np.float64]) -> NDArray[np.float64]:
    shifted = log_probs - log_probs.max()
    normalised: NDArray[np.float64] = shifted - np.log(np.exp(shifted).sum())
    return normalised


def weight_differences(
    source: TensorSource, converted: TensorSource
) -> Iterator[tuple[str, Difference]]:
    """(name, difference) of every tensor that both have, read one after another.

    Convolutions may lie in either layout, which orders their values alike.
    """
    for name in source.tensors:
        if name in converted.tensors:
            with reading(source, converted):
                difference = _difference(source.read(name), converted.read(name))
            yield name, difference
            mx.clear_cache()


def _difference(source: mx.array, converted: mx.array) -> Difference:
    a, b = source.reshape(-1), converted.reshape(-1)
    total = Difference()
    for start in range(0, a.size, BLOCK_VALUES):
        blocks = (np.array(x[start : start + BLOCK_VALUES].astype(mx.float32)) for x in (a, b))
        total += Difference.between(*blocks)
    return total
