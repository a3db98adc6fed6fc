"""Holding a model to a JSON Schema while it writes: which token may come next, by llguidance."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from granite_mlx.second_pass.text_model import Schema


class Grammars:
    """Makes constraints for one tokenizer.

    Args:
        tokenizer: its tokenizer.json.
        end_ids: the tokens that end an answer.
    """

    def __init__(self, tokenizer: Path, end_ids: Iterable[int]) -> None:
        self._path = tokenizer
        self._end_ids = sorted(end_ids)
        self._tokenizer: Any = None  # made when it is needed, since that takes a while

    def constraint(self, schema: Schema) -> Constraint | None:
        """For one answer; None where the schema has something that no grammar can be made of."""
        from llguidance import LLMatcher, LLTokenizer

        if self._tokenizer is None:
            text = self._path.read_text(encoding="utf-8")
            self._tokenizer = LLTokenizer(_plain(text), eos_token=self._end_ids)
        # As models have learnt to write it. Free white space could go on for ever.
        grammar = LLMatcher.grammar_from_json_schema(
            dict(schema),
            overrides={
                "whitespace_flexible": False,
                "item_separator": ", ",
                "key_separator": ": ",
            },
        )
        matcher = LLMatcher(self._tokenizer, grammar, log_level=0)
        if matcher.is_error():
            return None
        return Constraint(matcher, self._tokenizer.vocab_size, self._end_ids)


class Constraint:
    """Of one answer: `accept` each token, then ask for what is `allowed` next."""

    def __init__(self, matcher: Any, vocab_size: int, end_ids: list[int]) -> None:
        self._matcher, self._vocab_size, self._end_ids = matcher, vocab_size, end_ids

    def accept(self, token: int) -> None:
        """The answer goes on with a token."""
        if not self._matcher.is_stopped():
            self._matcher.consume_token(token)

    def allowed(self, n_logits: int) -> np.ndarray:
        """(n_logits,) booleans: the tokens that may come next. Behind a whole value, its end."""
        from llguidance.numpy import allocate_token_bitmask, fill_next_token_bitmask

        allowed = np.zeros(n_logits, bool)
        if self._matcher.is_stopped():
            allowed[self._end_ids] = True
            return allowed
        bits = allocate_token_bitmask(1, self._vocab_size)
        fill_next_token_bitmask(self._matcher, bits)
        known = np.unpackbits(bits.view(np.uint8), bitorder="little")[: self._vocab_size]
        n = min(n_logits, len(known))
        allowed[:n] = known[:n].astype(bool)
        return allowed


def _plain(tokenizer: str) -> str:
    """tokenizer.json without the padding and truncation that training may have left on."""
    content = json.loads(tokenizer)
    content.update(padding=None, truncation=None)
    return json.dumps(content)
