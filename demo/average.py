"""The mean of several states of one training, as a state.

    python -m demo.average demo/work/a.pt demo/work/b.pt --out demo/work/answers.pt

Two ends of one run, trained on with other shares of the tasks, differ in what they get wrong; their
mean is better at both (Wortsman et al., arXiv:2203.05482), and costs nothing.
"""

import argparse
import os
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor


def mean(states: Sequence[dict[str, Tensor]]) -> dict[str, Tensor]:
    """Of each floating tensor; what counts steps is the last state's.

    Raises:
        ValueError: the states are not of one model.
    """
    if any(state.keys() != states[0].keys() for state in states):
        raise ValueError("the states have different tensors: they are not of one model")
    return {
        name: torch.stack([state[name] for state in states]).mean(0)
        if last.is_floating_point()
        else last
        for name, last in states[-1].items()
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("states", type=Path, nargs="+")
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    saved = [torch.load(path, weights_only=True) for path in args.states]
    state = {"model": mean([s["model"] for s in saved]), "step": saved[-1]["step"]}
    torch.save(state, args.out.with_suffix(".tmp"))
    os.replace(args.out.with_suffix(".tmp"), args.out)


if __name__ == "__main__":
    main()
