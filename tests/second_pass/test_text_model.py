import pytest
from hypothesis import given
from hypothesis import strategies as st

from granite_mlx.second_pass.text_model import defused

SPECIAL = frozenset({"<|end|>", "<|", "|>", "<s>", "  ", " <x>", "a"})


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("so <|end|> it is", "so < |end| > it is"),
        ("<<|end|>|end|>", "<< |end| >|end| >"),
        ("two  spaces, a, <s", "two  spaces, a, <s"),
    ],
)
def test_marks_are_broken_up(text: str, left: str) -> None:
    assert defused(text, SPECIAL) == left


@given(st.text(alphabet="<|>ends a", max_size=40))
def test_no_mark_is_left_and_no_letter_lost(text: str) -> None:
    left = defused(text, SPECIAL)
    assert not [token for token in ("<|end|>", "<|", "|>", "<s>") if token in left]
    assert left.replace(" ", "") == text.replace(" ", "")
