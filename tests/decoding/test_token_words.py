"""Which tokens write which word."""

import pytest

from granite_mlx.decoding.token_words import word_log_probs


@pytest.mark.parametrize(
    ("pieces", "log_probs", "words"),
    [
        ([], [], []),
        ([" hel", "lo", " you"], [-1, -2, -4], [-3, -4]),
        (["hello", " ", "you"], [-1, -2, -4], [-1, -4]),  # a space alone is of no word
        (["in the", " house"], [-1, -2], [-1, -1, -2]),  # one token, two words
        (["a ", "b"], [-1, -2], [-1, -2]),
        ([" Zo", "\ufffd", "\ufffd", "."], [-1, -2, -4, -8], [-15]),  # bytes of one letter
        (["", " a", ""], [-1, -2, -4], [-2]),  # special tokens have no text
    ],
)
def test_words(pieces: list[str], log_probs: list[float], words: list[float]) -> None:
    assert word_log_probs(pieces, log_probs) == words
