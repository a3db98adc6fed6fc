from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from granite_mlx.audio.features import FeatureConfig
from granite_mlx.decoding.budget import (
    SPARE_TOKENS,
    TEXT,
    TIMED_TEXT,
    AnswerRate,
    answer_rate,
    longest_audio_s,
    token_budget,
)
from granite_mlx.decoding.prompts import Task
from granite_mlx.model.config import SpeechConfig, parse_config
from granite_mlx.selftest.stages import CONFIG

REAL = parse_config(CONFIG)
FEATURES = FeatureConfig()


def sized(window: int, downsample: int, positions: int) -> SpeechConfig:
    text = replace(REAL.text, max_position_embeddings=positions)
    return replace(REAL, text=text, window_size=window, downsample_rate=downsample)


def test_the_published_model_takes_about_five_minutes() -> None:
    assert 4 * 60 < longest_audio_s(REAL, 50, 40, None) < 6 * 60


def test_a_time_behind_each_word_leaves_half_the_room() -> None:
    assert answer_rate(Task()) == answer_rate(Task(tags="speakers")) == TEXT
    assert answer_rate(Task(tags="word_times")) == TIMED_TEXT
    assert 2 * 60 < longest_audio_s(REAL, 50, 80, None, TIMED_TEXT) < 3 * 60
    assert longest_audio_s(REAL, 50, 80, 1000, TIMED_TEXT) == longest_audio_s(REAL, 50, 80, 1000)
    assert token_budget(REAL, 100, 10.0, None, TIMED_TEXT) == 320 + SPARE_TOKENS


def test_a_budget_of_ones_own_takes_from_the_audio() -> None:
    # 10 audio tokens a second, and 3 for the last window
    assert longest_audio_s(REAL, 50, 93, 1000) == pytest.approx((4096 - 93 - 1000 - 3) / 10)
    assert longest_audio_s(REAL, 50, 93, 2000) == pytest.approx((4096 - 93 - 2000 - 3) / 10)


def test_no_room_for_audio() -> None:
    assert longest_audio_s(REAL, 50, 4000, None) > 0
    assert longest_audio_s(REAL, 50, 4096, None) == 0
    assert longest_audio_s(REAL, 50, 93, 4095) == 0


@settings(deadline=None)
@given(
    window=st.integers(1, 40),
    downsample=st.integers(1, 40),
    positions=st.integers(64, 8192),
    n_text_tokens=st.integers(1, 200),
    max_new_tokens=st.none() | st.integers(1, 500),
    share=st.floats(0.01, 1.0),
    rate=st.sampled_from([TEXT, TIMED_TEXT]),
)
def test_what_is_taken_fits_the_context(
    window: int,
    downsample: int,
    positions: int,
    n_text_tokens: int,
    max_new_tokens: int | None,
    share: float,
    rate: AnswerRate,
) -> None:
    config = sized(window, min(window, downsample), positions)
    frames_per_second = FEATURES.frames_per_second
    limit_s = longest_audio_s(config, frames_per_second, n_text_tokens, max_new_tokens, rate)
    n_samples = int(limit_s * share * 16000)
    if n_samples == 0:
        return
    n_prompt = n_text_tokens + config.n_audio_tokens(FEATURES.n_frames(n_samples))
    budget = token_budget(config, n_prompt, n_samples / 16000, max_new_tokens, rate)
    assert budget >= 1
    assert n_prompt + budget <= positions
    if max_new_tokens is not None:
        assert budget == max_new_tokens
    else:
        assert budget >= rate.least * n_samples / 16000


def test_the_duration_decides_unless_told_otherwise() -> None:
    assert token_budget(REAL, 100, 10.0, None) == 80 + SPARE_TOKENS
    assert token_budget(REAL, 100, 10.01, None) == 81 + SPARE_TOKENS
    assert token_budget(REAL, 100, 10.0, 5) == 5


def test_the_context_ends_it() -> None:
    assert token_budget(REAL, 4000, 300.0, None) == 96
    assert token_budget(REAL, 4095, 300.0, 50) == 1
