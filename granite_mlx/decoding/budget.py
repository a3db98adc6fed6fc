"""How much fits into the model's context: audio, the prompt around it, and the answer."""

from __future__ import annotations

import math

from granite_mlx.model.config import SpeechConfig

TOKENS_PER_SECOND = 8
"""Answer tokens a second that are allowed for. Fast English needs about 5 of Granite's tokens."""

LEAST_TOKENS_PER_SECOND = 4
"""What must be left for a recording to be taken at all."""

SPARE_TOKENS = 32


def longest_audio_s(
    config: SpeechConfig, frames_per_second: float, n_text_tokens: int, max_new_tokens: int | None
) -> float:
    """Seconds of audio that fit beside a prompt of `n_text_tokens` and the answer."""
    positions = config.text.max_position_embeddings - n_text_tokens - config.n_queries
    audio_tokens_per_s = frames_per_second * config.n_queries / config.window_size
    if max_new_tokens is not None:
        return max(0.0, (positions - max_new_tokens) / audio_tokens_per_s)
    return max(0.0, (positions - SPARE_TOKENS) / (audio_tokens_per_s + LEAST_TOKENS_PER_SECOND))


def token_budget(
    config: SpeechConfig, n_prompt_tokens: int, duration_s: float, max_new_tokens: int | None
) -> int:
    """The most tokens that the answer to a prompt (audio included) may have."""
    left = config.text.max_position_embeddings - n_prompt_tokens
    wanted = max_new_tokens or math.ceil(TOKENS_PER_SECOND * duration_s) + SPARE_TOKENS
    return max(1, min(left, wanted))
