import pytest

from granite_mlx.decoding.answer import answer_warnings, read_answer
from granite_mlx.decoding.generate import Generated
from granite_mlx.decoding.prompts import Task
from granite_mlx.model.family import Family
from granite_mlx.transcript import Segment, Word

ENDED = Generated((5, 6), finished=True)
UNNAMED = Segment(0.0, 1.0, "hello")
NAMED = Segment(0.0, 1.0, "hello", speaker="Speaker 1")
TIMED = Segment(0.0, 1.0, "hello", words=(Word(0.0, 1.0, "hello", None),))


@pytest.mark.parametrize("family", ["4.0", "4.1", "5.0"])
def test_models_without_tags_mean_what_they_write(family: Family) -> None:
    text = "[Speaker 1]:  hello [T:45] _"
    assert read_answer(text, family, 1.0, 2.0) == (Segment(1.0, 2.0, text),)
    assert read_answer("", family, 1.0, 2.0) == ()


def test_tags_of_a_model_that_has_them() -> None:
    (segment,) = read_answer("[Speaker 1]: hello", "4.1-plus", 1.0, 2.0)
    assert segment == Segment(1.0, 2.0, "hello", speaker="Speaker 1")
    assert read_answer("hello", "4.1-plus", 1.0, 2.0) == (Segment(1.0, 2.0, "hello"),)
    assert read_answer("", "4.1-plus", 1.0, 2.0) == ()


@pytest.mark.parametrize(
    ("task", "family", "segments", "codes"),
    [
        (Task(), "4.0", (UNNAMED,), []),
        (Task(punctuate=True), "4.0", (UNNAMED,), []),
        (Task(punctuate=True), "4.1-plus", (UNNAMED,), ["not_punctuated"]),
        (Task(tags="speakers"), "4.1-plus", (NAMED,), []),
        (Task(tags="speakers"), "4.1-plus", (UNNAMED, NAMED), ["no_speakers"]),
        (Task(tags="speakers"), "4.1-plus", (), []),
        (Task(tags="word_times"), "4.1-plus", (TIMED,), []),
        (Task(tags="word_times"), "4.1-plus", (UNNAMED,), ["no_word_times"]),
        (Task(), "4.1-plus", (UNNAMED,), []),
    ],
)
def test_what_was_asked_for_and_is_missing(
    task: Task, family: Family, segments: tuple[Segment, ...], codes: list[str]
) -> None:
    warnings = answer_warnings(ENDED, 9, task, family, segments)
    assert [warning.code for warning in warnings] == codes


def test_an_answer_that_is_cut_off() -> None:
    (warning,) = answer_warnings(Generated((5,), finished=False), 9, Task(), "4.0", (UNNAMED,))
    assert warning.code == "cut_off"
    assert "after 9 tokens" in warning.message


@pytest.mark.parametrize(
    ("answer", "codes"),
    [
        (Generated((5,), True, way="without_drafts"), []),  # what the decoder writes by itself
        (Generated((5,), True, way="sampled"), ["loop_sampled"]),
        (Generated((5,), False, way="sampled"), ["loop_sampled", "cut_off"]),
        (Generated((5,), False, looped=True, way="sampled"), ["loop_cut_off"]),
        (Generated((5,), False, looped=True), ["loop_cut_off"]),
        (Generated((5,), True, way="heard"), ["loop_heard"]),
        (Generated((5,), False, way="heard"), ["loop_heard", "cut_off"]),
    ],
)
def test_an_answer_that_went_round_in_circles(answer: Generated, codes: list[str]) -> None:
    warnings = answer_warnings(answer, 9, Task(), "4.0", (UNNAMED,))
    assert [warning.code for warning in warnings] == codes
