"""Words with times and confidence, put together from what is known of a recording."""

import numpy as np
import pytest

from granite_mlx.transcript import Segment, Word
from granite_mlx.words import with_words, words_of

RATE, N_CLASSES = 16_000, 348


def logits(frames: str) -> np.ndarray:
    """Of a head that hears one character in each frame of 20 ms; _ is a blank."""
    result = np.zeros((len(frames), N_CLASSES), np.float32)
    for frame, character in enumerate(frames):
        result[frame, 0 if character == "_" else ord(character)] = 12.0
    return result


def sound(n_frames: int) -> np.ndarray:
    return np.random.default_rng(0).normal(scale=0.1, size=n_frames * 320).astype(np.float32)


FRAMES = "__hi____  yo_u__"


def test_words_have_times_and_confidence() -> None:
    first, second = words_of("Hi you!", logits(FRAMES), sound(16), start_s=2.0)
    assert (first.text, second.text) == ("Hi", "you!")
    assert first.start_s == pytest.approx(2.04, abs=0.01)
    assert first.end_s == second.start_s == pytest.approx(2.2, abs=0.01)
    assert second.end_s == pytest.approx(2.32)
    for word in (first, second):
        assert word.confidence is not None
        assert 0.5 < word.confidence < 1


def test_a_word_that_neither_head_nor_decoder_believes_is_improbable() -> None:
    said = words_of("hi you", logits(FRAMES), sound(16), word_log_probs=[-0.01, -0.01])
    doubted = words_of("hi you", logits(FRAMES), sound(16), word_log_probs=[-0.01, -5.0])
    unheard = words_of("hi zz", logits(FRAMES), sound(16), word_log_probs=[-0.01, -0.01])
    neither = words_of("hi zz", logits(FRAMES), sound(16), word_log_probs=[-0.01, -5.0])
    sure, less, unsure, least = (
        words[1].confidence or 0 for words in (said, doubted, unheard, neither)
    )
    assert sure > less > least
    assert sure > unsure > least
    assert said[0].confidence == neither[0].confidence


def test_log_probs_of_a_sign_count_for_the_word_before_it() -> None:
    with_sign = words_of("hi ? you", logits(FRAMES), sound(16), word_log_probs=[-1, -2, -0.1])
    assert [word.text for word in with_sign] == ["hi ?", "you"]
    without = words_of("hi you", logits(FRAMES), sound(16), word_log_probs=[-3, -0.1])
    assert [w.confidence for w in with_sign] == [w.confidence for w in without]


def test_a_word_by_ear_has_the_decoders_confidence() -> None:
    (_, sure), (_, unsure) = (
        words_of("hi 20", logits(FRAMES), sound(16), word_log_probs=[0.0, one])
        for one in (-0.01, -3.0)
    )
    assert (sure.confidence or 0) > (unsure.confidence or 1)
    assert words_of("hi 20", logits(FRAMES), sound(16))[1].confidence is None


def test_another_number_of_log_probs_is_of_no_use() -> None:
    without = words_of("hi you", logits(FRAMES), sound(16))
    assert words_of("hi you", logits(FRAMES), sound(16), word_log_probs=[-9.0]) == without


@pytest.mark.parametrize("text", ["", "東京です", "much too long a text for it"])
def test_no_words_where_the_text_cannot_be_aligned(text: str) -> None:
    assert words_of(text, logits(FRAMES), sound(16)) == ()


def test_segments_get_their_words() -> None:
    words = tuple(
        Word(n, n + 1, text, known)
        for n, (text, known) in enumerate([("— a", 0.5), ("b ?", None), ("c", 1.0), ("d", 0.5)])
    )
    segments = (
        Segment(0, 9, "— a b ?", speaker="Speaker 1"),
        Segment(0, 9, ""),
        Segment(0, 9, "c d"),
    )
    turn, empty, plain = with_words(segments, words)
    assert (turn.words, turn.confidence, turn.start_s, turn.end_s) == (words[:2], 0.5, 0, 2)
    assert empty == segments[1]
    assert (plain.words, plain.confidence, plain.start_s, plain.end_s) == (words[2:], 0.75, 0, 9)
    assert with_words(segments, ()) == segments
