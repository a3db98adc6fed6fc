import pytest

from granite_mlx.second_pass.thoughts import Thoughts, ends_in_a_thought


def answered(tokens: list[int], start: tuple[int, ...], end: tuple[int, ...]) -> list[int]:
    thoughts = Thoughts(start, end)
    found = [one for token in tokens for one in thoughts.feed(token)]
    return found + thoughts.finish()


@pytest.mark.parametrize(
    ("tokens", "left"),
    [
        ([1, 2, 3], [1, 2, 3]),
        ([8, 1, 2, 9, 3], [3]),
        ([1, 8, 2, 9, 3, 8, 4], [1, 3]),
        ([9, 1], [9, 1]),  # an end of nothing
        ([], []),
    ],
)
def test_thoughts_are_left_out(tokens: list[int], left: list[int]) -> None:
    assert answered(tokens, (8,), (9,)) == left


def test_marks_of_several_tokens() -> None:
    start, end = (7, 7, 8), (7, 9)
    assert answered([1, 7, 7, 7, 8, 2, 7, 7, 9, 3, 7, 7], start, end) == [1, 7, 3, 7, 7]


def test_a_model_that_does_not_think() -> None:
    assert answered([1, 2], (), ()) == [1, 2]
    assert not ends_in_a_thought([1, 2], (), ())


def test_a_prompt_may_begin_a_thought() -> None:
    assert ends_in_a_thought([1, 8, 2, 9, 3, 8, 4], (8,), (9,))
    assert not ends_in_a_thought([1, 8, 2, 9, 3], (8,), (9,))
    assert not ends_in_a_thought([1, 2], (8,), (9,))
