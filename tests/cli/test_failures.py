"""Exceptions as sentences."""

import pytest

from granite_mlx.cli.failures import NoModelError, UsageError, explain
from granite_mlx.errors import AudioError

BUG = "; this is a bug, please report it with --debug"


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (AudioError("x.wav holds no sound."), "x.wav holds no sound."),
        (UsageError("no."), "no."),
        (ValueError("a term is empty."), "a term is empty."),
        (OSError(28, "No space left on device", "out/a.txt"), "out/a.txt: No space left on device"),
        (OSError(28, "No space left on device"), "No space left on device"),
        (OSError("the hub cannot be reached."), "the hub cannot be reached."),
        (KeyError("encoder"), f"KeyError: 'encoder'{BUG}"),
        (MemoryError(), "there is not enough memory."),
        (ValueError(), f"ValueError{BUG}"),
        (OSError(), f"OSError{BUG}"),
        (NoModelError(), f"NoModelError{BUG}"),
    ],
)
def test_explanations(error: Exception, sentence: str) -> None:
    assert explain(error) == sentence


def test_a_missing_model_is_explained_by_its_cause() -> None:
    error = NoModelError()
    error.__cause__ = ValueError("dtype must be float32.")
    assert explain(error) == "dtype must be float32."
