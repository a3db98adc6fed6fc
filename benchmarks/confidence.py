"""How well the confidence of words is calibrated: a table of docs/word-times.md.

    python -m benchmarks.confidence --work demo/work --digits ../shared/data/fsdd [--docs FILE]
    python -m benchmarks.confidence --work demo/work --digits ../shared/data/fsdd --fit

The demo checkpoint transcribes noisy recordings (3 dB below the noise to 25 dB above it). --fit
takes voices, takes and sentences of training's kind, and prints the numbers that belong into
granite_mlx/transcript/confidence.py; the table is about others, which training never had.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np

from benchmarks.heard_words import GROUPS, Heard
from benchmarks.tables import block_writer, markdown
from benchmarks.word_times import add_recording_arguments, transcribed
from granite_mlx.transcript.confidence import ConfidenceMap, confidence, log_odds
from granite_mlx.words import Evidence, aligned_words, evidence

BLOCK = "confidence"
EDGES = (0.0, 0.2, 0.4, 0.6, 0.7, 0.8, 0.9, 0.95, 0.98, 1.0)
N_BINS = 10
RIDGE = 1.0
"""A prior on the weights, not the bias: keeps them finite where right and wrong part cleanly."""

Judged = tuple[Evidence, bool]


def judged(heard: Sequence[Heard]) -> list[Judged]:
    """What is known of each written word, and whether it is right."""
    result: list[Judged] = []
    for one in heard:
        aligned = aligned_words(" ".join(one.words), one.ctc_logits)
        right = {written for _, written in one.pairs()}
        known = evidence(aligned, one.word_log_probs)
        result += [(word, n in right) for n, word in enumerate(known)]
    return result


def expected_error(confidences: np.ndarray, right: np.ndarray) -> float:
    """ECE (Guo et al., arXiv 1706.04599): |confidence - share right| over bins of equal width."""
    bins = np.minimum((confidences * N_BINS).astype(int), N_BINS - 1)
    gaps = [abs((confidences - right)[bins == b].sum()) for b in range(N_BINS)]
    return float(sum(gaps) / len(right))


def fitted(features: np.ndarray, right: np.ndarray) -> np.ndarray:
    """(n, k) features -> (1 + k,) weights of a logistic regression, the bias first; by Newton."""
    design = np.column_stack([np.ones(len(features)), features])
    weights = np.zeros(design.shape[1])
    ridge = RIDGE * np.diag([0.0, *[1.0] * features.shape[1]])
    for _ in range(30):
        known = 1 / (1 + np.exp(-design @ weights))
        gradient = design.T @ (right - known) - ridge @ weights
        curvature = (design * (known * (1 - known))[:, None]).T @ design + ridge
        weights = weights + np.linalg.solve(curvature, gradient)
    return weights


def maps(words: Sequence[Judged]) -> dict[str, ConfidenceMap]:
    """The three maps, fitted."""
    known = [(e.decoder, e.head, right) for e, right in words if e.decoder is not None]
    both = [(d, h, right) for d, h, right in known if h is not None]
    odds = np.array([(log_odds(d), log_odds(h)) for d, h, _ in both])
    right = np.array([one for _, _, one in both], float)
    b, d, h = fitted(odds, right)
    decoder_bias, decoder = fitted(odds[:, :1], right)
    head_bias, head = fitted(odds[:, 1:], right)
    return {
        "BOTH": _rounded(b, d, h),
        "DECODER_ALONE": _rounded(decoder_bias, decoder, 0.0),
        "HEAD_ALONE": _rounded(head_bias, 0.0, head),
    }


def _rounded(bias: float, decoder: float, head: float) -> ConfidenceMap:
    return ConfidenceMap(*(round(float(one), 3) for one in (bias, decoder, head)))


def reliability(confidences: np.ndarray, right: np.ndarray) -> str:
    """How many words of each confidence are right, in Markdown."""
    rows = []
    for low, high in pairwise(EDGES):
        inside = (confidences >= low) & ((confidences < high) | (high == EDGES[-1]))
        if inside.any():
            mean, share = confidences[inside].mean(), right[inside].mean()
            rows.append([f"{low:g} to {high:g}", str(inside.sum()), f"{mean:.3f}", f"{share:.3f}"])
    head = ["confidence", "words", "on average", "share right"]
    return markdown(head, rows, n_names=1)


def summary(name: str, words: Sequence[Judged]) -> list[str]:
    """How good the confidence of a group is, beside what decoder and head say by themselves."""
    right = np.array([one for _, one in words], float)
    ours = np.array([confidence(e.decoder, e.head) for e, _ in words])
    decoder = np.exp([e.decoder or 0.0 for e, _ in words])
    head = np.exp([e.head or 0.0 for e, _ in words])
    errors = [f"{100 * expected_error(one, right):.1f} %" for one in (ours, decoder, head)]
    ranks = [f"{area(one, right):.3f}" for one in (ours, decoder, head)]
    return [name, str(len(right)), f"{100 * right.mean():.1f} %", *errors, *ranks]


def area(confidences: np.ndarray, right: np.ndarray) -> float:
    """How often a right word has more confidence than a wrong one (area under the ROC curve)."""
    good, bad = confidences[right == 1], confidences[right == 0]
    if not (len(good) and len(bad)):
        return float("nan")
    above = (good[:, None] > bad[None]).mean()
    return float(above + (good[:, None] == bad[None]).mean() / 2)


def report(heard: Sequence[Heard]) -> str:
    """Both tables in Markdown."""
    head = ["words", "n", "right", "ECE", "of the decoder", "of the head",
            "ROC area", "of the decoder", "of the head"]  # fmt: skip
    words = {group: judged([h for h in heard if h.spoken.group == group]) for group in GROUPS}
    everything = [one for group in GROUPS for one in words[group]]
    rows = [summary(group, words[group]) for group in GROUPS]
    rows.append(summary("all", everything))
    ours = np.array([confidence(e.decoder, e.head) for e, _ in everything])
    right = np.array([one for _, one in everything], float)
    return f"{markdown(head, rows, n_names=1)}\n\n{reliability(ours, right)}"


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    add_recording_arguments(parser)
    parser.add_argument("--fit", action="store_true", help="print the numbers of the maps")
    parser.add_argument("--docs", type=Path, help="put the tables into this document")
    args = parser.parse_args()
    if args.fit:
        for name, one in maps(judged(transcribed(args, "train_noisy", held_out=False))).items():
            print(f"{name} = {one}")
        return 0
    write = block_writer(args.docs, BLOCK)
    tables = report(transcribed(args, "test_noisy", held_out=True))
    print(tables)
    write(tables)
    return 0


if __name__ == "__main__":
    sys.exit(main())
