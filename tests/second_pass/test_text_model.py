import pytest
from hypothesis import given
from hypothesis import strategies as st

from granite_mlx.second_pass.text_model import defused, is_mark

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


def test_halves_of_letters_can_be_encoded() -> None:
    assert defused("so \ud800 it \U0001f600", SPECIAL) == "so ? it \U0001f600"


@pytest.mark.parametrize(
    ("token", "is_one"),
    [("<think>", True), ("[TOOL_CALLS]", True), ("</s>", True), ("COVID", False), ("<", False)],
)
def test_added_tokens_that_look_like_marks(token: str, is_one: bool) -> None:
    assert is_mark(token) is is_one
