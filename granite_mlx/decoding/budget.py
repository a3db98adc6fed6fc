"""How much fits into the model's context: audio, the prompt around it, and the answer."""

from __future__ import annotations

import math
from dataclasses import dataclass

from granite_mlx.decoding.prompts import Task
from granite_mlx.model.config import SpeechConfig


@dataclass(frozen=True)
class AnswerRate:
    """Tokens of an answer for each second of audio.

    `allowed` is where an answer is cut off, `least` what must be left for a recording to be taken.
    """

    allowed: int
    least: int


TEXT = AnswerRate(allowed=8, least=4)
"""Fast English needs about 5 of Granite's tokens."""

TIMED_TEXT = AnswerRate(allowed=32, least=16)
"""The time behind every word, as " [T:45]", takes about 5 more for each of up to 4 words."""

SPARE_TOKENS = 32


def answer_rate(task: Task) -> AnswerRate:
    """How long the answer to a task is."""
    return TIMED_TEXT if task.tags == "word_times" else TEXT


def longest_audio_s(
    config: SpeechConfig,
    frames_per_second: float,
    n_text_tokens: int,
    max_new_tokens: int | None,
    rate: AnswerRate = TEXT,
) -> float:
    """Seconds of audio that fit beside a prompt of `n_text_tokens` and the answer."""
    positions = config.text.max_position_embeddings - n_text_tokens - config.n_queries
    audio_tokens_per_s = frames_per_second * config.n_queries / config.window_size
    if max_new_tokens is not None:
        return max(0.0, (positions - max_new_tokens) / audio_tokens_per_s)
    return max(0.0, (positions - SPARE_TOKENS) / (audio_tokens_per_s + rate.least))


def token_budget(
    config: SpeechConfig,
    n_prompt_tokens: int,
    duration_s: float,
    max_new_tokens: int | None,
    rate: AnswerRate = TEXT,
) -> int:
    """The most tokens that the answer to a prompt (audio included) may have."""
    left = config.text.max_position_embeddings - n_prompt_tokens
    wanted = max_new_tokens or math.ceil(rate.allowed * duration_s) + SPARE_TOKENS
    return max(1, min(left, wanted))
