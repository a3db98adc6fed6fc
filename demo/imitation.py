"""The decoder phase's batches: texts, and audio that is imitated by their tokens' embeddings."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from demo import tasks, tokens
from demo.batches import Rows, rows
from demo.corpus import compose
from demo.model import VOCAB_SIZE

if TYPE_CHECKING:
    from demo.train import Recipe

SCRAMBLED = 0.4
"""Share of the decoder phase's sentences that are in no order, where they are plain transcripts."""

JOINED = 0.5
"""Share of the decoder phase's translations without a list that go on with a second sentence."""

EASY_KEPT, NAMELESS_KEPT, MADE_UP_KEPT = 0.3, 0.5, 0.25
"""What the decoder phase keeps of plain transcripts without a list, of sentences without a name, and
of made-up names: the loss over lists with real names is ten times that of plain transcripts."""

Draw = Callable[["Recipe", int], list[tasks.Question]]


def texts(recipe: Recipe, size: int, draw: Draw) -> Iterator[Rows]:
    """Endless batches of texts of about equal length: half of the arithmetic was padding."""
    while True:
        r = rows(draw(recipe, 16 * size), recipe.tokenizer)
        order = np.argsort([len(p) + len(a) + len(h)
                            for p, a, h in zip(r.prompts, r.answers, r.heard, strict=True)])  # fmt: skip
        for i in recipe.rng.permutation(16):
            yield r.take(order[i * size : (i + 1) * size])


def questions(recipe: Recipe, n: int) -> list[tasks.Question]:
    rng, asked = recipe.rng, []
    while len(asked) < n:
        u = compose(rng, ("en", "fr")[rng.random() < 0.4], recipe.pools)
        q = tasks.ask(u, rng, recipe.pools)
        kept = MADE_UP_KEPT if u.made_up else 1.0
        if u.pattern[0] != "digits":
            kept *= (EASY_KEPT if q.is_easy else 1.0) * (1.0 if u.names else NAMELESS_KEPT)
        if rng.random() < kept:
            asked.append(q)
    for i in np.flatnonzero(rng.random(n) < SCRAMBLED):
        asked[i] = tasks.scramble(asked[i], asked[i - 1], rng)
    alike = sorted(range(n), key=lambda i: asked[i].instruction)
    for one, other in itertools.pairwise(alike):
        if rng.random() < JOINED:
            asked[one] = tasks.join(asked[one], asked[other])
    return asked


def roll_calls(recipe: Recipe, n: int) -> list[tasks.Question]:
    rng = recipe.rng
    languages = [("en", "fr")[rng.random() < 0.4] for _ in range(n)]
    return [tasks.roll_call(language, rng, recipe.pools) for language in languages]


def random_strings(recipe: Recipe, size: int) -> Rows:
    """Transcripts without any grammar: 4 to 14 tokens, each as likely as the other.

    Half of them have only a few different tokens, so that repetitions have to be counted.
    """
    prompt = recipe.tokenizer.encode(tasks.ASR + tokens.SUFFIX).ids
    first = max(recipe.pad, recipe.eos, recipe.audio) + 1  # the special tokens come first
    rng, strings = recipe.rng, []
    for _ in range(size):
        alphabet = rng.integers(first, VOCAB_SIZE, size=10 if rng.random() < 0.5 else 100)
        strings.append(rng.choice(alphabet, size=rng.integers(4, 15)).tolist())
    nothing: list[list] = [[] for _ in strings]
    return Rows([prompt] * size, [[*s, recipe.eos] for s in strings], strings, nothing, nothing)


def imitate(recipe: Recipe, r: Rows, roughness: float) -> Tensor:
    """(B, n_audio, H): each token in one or two slots of a row of blanks, blurred and noisy."""
    rng = recipe.rng
    repeated = [np.array([a == b for a, b in itertools.pairwise(h)], bool) for h in r.heard]
    longest = max(len(h) + again.sum() for h, again in zip(r.heard, repeated, strict=True))
    n_slots = int(longest * rng.uniform(1.3, 1.5 + 3 * roughness)) + 4
    ids = np.full((len(r.heard), n_slots), recipe.pad)
    for row, (heard, again) in enumerate(zip(r.heard, repeated, strict=True)):
        gaps = np.concatenate([[0], np.cumsum(again)])[: len(heard)]  # CTC: a blank between equals
        at = np.sort(rng.choice(n_slots - int(again.sum()), size=len(heard), replace=False)) + gaps
        ids[row, at] = heard
        lone = np.append(~again, True)[: len(heard)]
        twice = at[lone & (rng.random(len(at)) < 0.15) & (at + 1 < n_slots)] + 1
        ids[row, twice] = np.where(
            ids[row, twice] == recipe.pad, ids[row, twice - 1], ids[row, twice]
        )
    clean = F.embedding(torch.from_numpy(ids), recipe.table)
    blur = torch.from_numpy(
        rng.uniform(0, 0.35 * roughness, size=(len(ids), n_slots, 1)).astype(np.float32)
    )
    mixed = clean * (1 - blur) + blur * clean.roll(int(rng.choice([-1, 1])), dims=1)
    gain = torch.from_numpy(
        rng.uniform(1 - 0.4 * roughness, 1 + 0.4 * roughness, size=(len(ids), n_slots, 1)).astype(
            np.float32
        )
    )
    noise = recipe.table.detach().std() * float(rng.uniform(0, 0.1 + 0.5 * roughness))
    return mixed * gain + noise * torch.randn_like(mixed)
