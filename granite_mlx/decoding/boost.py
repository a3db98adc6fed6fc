"""A bonus for tokens that begin a listed term or go on with one, while the decoder writes.

The terms are two trees of tokens: those that come behind a space, which their first token holds,
and those at the beginning of a text or behind an apostrophe, a hyphen or a bracket. What is added
to the logits is a function of the tokens so far alone, so that a draft is judged as its tokens
would have been one by one. Knows no audio: which terms may be said is decided before (`biasing/`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import mlx.core as mx
import numpy as np

Array: TypeAlias = np.ndarray[Any, np.dtype[Any]]

UNFINISHED = "\ufffd"
"""What stands for the bytes of a character that has not come as a whole."""


@dataclass
class _Node:
    """What may follow a beginning of a term.

    Attributes:
        bonus: the largest one of the terms that go through here.
        whole: that of the term that ends here; 0 where none does.
    """

    bonus: float = 0.0
    whole: float = 0.0
    following: dict[int, _Node] = field(default_factory=dict)

    def add(self, ids: Sequence[int], bonus: float) -> None:
        """One more term below this node."""
        node = self
        for token in ids:
            node = node.following.setdefault(token, _Node())
            node.bonus = max(node.bonus, bonus)
        node.whole = max(node.whole, bonus)

    def behind(self, ids: Sequence[int]) -> _Node | None:
        """The node that tokens lead to."""
        node: _Node | None = self
        for token in ids:
            if node is None:
                return None
            node = node.following.get(token)
        return node

    def bonuses(self) -> dict[int, float]:
        """Of each token that may follow; a term that is whole already needs no longer one."""
        found = {token: one.bonus - self.whole for token, one in self.following.items()}
        return {token: bonus for token, bonus in found.items() if bonus > 0}


class TermBoost:
    """The bonuses of some terms, each its own."""

    def __init__(
        self,
        bonuses: Iterable[tuple[str, float]],
        encode: Callable[[str], list[int]],
        decode: Callable[[Sequence[int]], str],
    ) -> None:
        """`bonuses` are spellings and what is added to the logit of each of their tokens."""
        self._spaced, self._bare = _Node(), _Node()
        self._decode = decode
        self._longest = 0
        self._parts: dict[int, bool] = {}
        for spelling, bonus in bonuses:
            for tree, ids in (
                (self._spaced, encode(f" {spelling}")),
                (self._bare, encode(spelling)),
            ):
                tree.add(ids, bonus)
                self._longest = max(self._longest, len(ids))

    def after(self, ids: Sequence[int]) -> tuple[Array, Array]:
        """Which tokens have a bonus behind those so far, and how much: (n,) and (n,) float32."""
        bonuses: dict[int, float] = {}
        for start in range(max(0, len(ids) - self._longest), len(ids) + 1):
            own = ids[start:]
            nodes = [self._spaced.behind(own)]
            if start == 0 or self._parts_words(ids[start - 1]):
                nodes.append(self._bare.behind(own))
            for node in nodes:
                for token, bonus in node.bonuses().items() if node is not None else ():
                    bonuses[token] = max(bonuses.get(token, 0.0), bonus)
        return np.array([*bonuses], np.int32), np.array([*bonuses.values()], np.float32)

    def _parts_words(self, token: int) -> bool:
        """Whether a word may begin behind a token without a space."""
        if token not in self._parts:
            last = self._decode([token])[-1:]
            self._parts[token] = bool(last) and last != UNFINISHED and not last.isalnum()
        return self._parts[token]


def boosted(
    logits: mx.array,
    boosts: Sequence[TermBoost | None],
    ids: Sequence[Sequence[int]],
    drafts: Sequence[Sequence[int]],
) -> mx.array:
    """Logits with bonuses; the same array where there are none.

    Args:
        logits: (B, n, vocab): of each row, behind its tokens `ids` and behind each token of its
            draft, of which there are at most n - 1.
        boosts: of each row.
    """
    places: list[tuple[int, int, Array, Array]] = []
    for row, (boost, own, draft) in enumerate(zip(boosts, ids, drafts, strict=True)):
        if boost is not None:
            sequence = [*own, *draft]
            places += [
                (row, n, *boost.after(sequence[: len(own) + n])) for n in range(len(draft) + 1)
            ]
    if not sum(len(tokens) for _, _, tokens, _ in places):
        return logits
    lengths = [len(tokens) for _, _, tokens, _ in places]
    rows, columns = (np.repeat([one[axis] for one in places], lengths) for axis in (0, 1))
    tokens = np.concatenate([one[2] for one in places])
    values = mx.array(np.concatenate([one[3] for one in places])).astype(logits.dtype)
    return logits.at[mx.array(rows), mx.array(columns), mx.array(tokens)].add(values)
