"""Embedded prompts to token ids: one step of the decoder, and a loop around it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import mlx.core as mx
import numpy as np

from granite_mlx.decoding.sampling import Sampler
from granite_mlx.model.cache import Cache, DecoderCache
from granite_mlx.model.config import TextConfig
from granite_mlx.model.decoder import GraniteDecoder

Way: TypeAlias = Literal["asked", "without_drafts", "without_keywords", "sampled", "heard"]
"""How an answer came about: as it was asked for, tried again, or from what the head has heard."""


@dataclass(frozen=True)
class Generated:
    """The tokens of one row, without the end token; `finished` False where that did not come.

    `log_probs` is what the decoder thought of each of them, in nats, where that was asked for. An
    answer that went round in circles is `looped` and ends there. `before` is the one in whose place
    it was asked for, where that may stand.
    """

    ids: tuple[int, ...]
    finished: bool
    log_probs: tuple[float, ...] | None = None
    looped: bool = False
    way: Way = "asked"
    before: Generated | None = None


def pad_left(prompts: Sequence[mx.array]) -> tuple[mx.array, mx.array | None]:
    """Embedded prompts (n_i, H) -> (B, longest, H), and the padding of each row if there is any."""
    longest = max(len(p) for p in prompts)
    padding = [longest - len(p) for p in prompts]
    rows = [mx.pad(p, [(n, 0), (0, 0)]) for p, n in zip(prompts, padding, strict=True)]
    return mx.stack(rows), mx.array(padding) if any(padding) else None


def generate(
    decoder: GraniteDecoder,
    config: TextConfig,
    prompts: Sequence[mx.array],
    sampler: Sampler,
    max_new_tokens: int,
    on_step: Callable[[int], None] = lambda n_tokens: None,
) -> list[Generated]:
    """Continue a batch of embedded prompts (n_i, H) until each has ended or the budget is spent.

    Each row gets what it would get alone. `on_step` is called with the number of tokens so far;
    what it raises ends the generation.
    """
    embeddings, left_padding = pad_left(prompts)
    n_positions = embeddings.shape[1] + max_new_tokens
    cache = DecoderCache(config, embeddings.dtype, len(prompts), n_positions, left_padding)
    rows: list[list[int]] = [[] for _ in prompts]
    ended = [False] * len(prompts)
    tokens = following = step(decoder, cache, sampler, embeddings)
    for n_tokens in range(1, max_new_tokens + 1):
        if n_tokens < max_new_tokens:  # the next step is computed while this one is read
            following = step(decoder, cache, sampler, decoder.embed(tokens[:, None]))
        for row, token in enumerate(read_tokens(tokens)):
            if token == config.eos_token_id:
                ended[row] = True
            elif not ended[row]:
                rows[row].append(token)
        on_step(n_tokens)
        if all(ended):
            break
        tokens = following
    return [Generated(tuple(ids), end) for ids, end in zip(rows, ended, strict=True)]


def step(decoder: GraniteDecoder, cache: Cache, sampler: Sampler, embeddings: mx.array) -> mx.array:
    """Feed embeddings (B, n, H) and choose the next token of each row: (B,)."""
    hidden = decoder(embeddings, cache)[:, -1]
    tokens = sampler(decoder.logits(hidden))
    mx.async_eval(tokens)  # type: ignore[no-untyped-call]
    return tokens


def scored_step(
    decoder: GraniteDecoder, cache: Cache, sampler: Sampler, embeddings: mx.array
) -> tuple[mx.array, mx.array]:
    """Likewise, with the log-probability of each token: (B,), (B,)."""
    logits = decoder.logits(decoder(embeddings, cache)[:, -1])
    tokens = sampler(logits)
    log_probs = token_log_probs(logits, tokens)
    mx.async_eval(tokens, log_probs)  # type: ignore[no-untyped-call]
    return tokens, log_probs


def token_log_probs(logits: mx.array, tokens: mx.array) -> mx.array:
    """(..., vocab) logits and (...) token ids -> (...) float32 log-probabilities."""
    logits = logits.astype(mx.float32)
    chosen = mx.take_along_axis(logits, tokens[..., None], axis=-1)[..., 0]
    return chosen - mx.logsumexp(logits, axis=-1)


def read_tokens(tokens: mx.array) -> list[int]:
    """Wait for token ids (B,) and read them."""
    return [int(token) for token in np.array(tokens)]
