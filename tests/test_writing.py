"""The witness in the path from tokens to a transcript."""

from dataclasses import dataclass

import pytest

from granite_mlx.decoding.prompts import Task
from granite_mlx.transcript import Segment
from granite_mlx.writing import before_witness


def labels_of(heard: str) -> list[int]:
    """What the head gives where it hears a text."""
    return [ord(letter) for letter in heard]


@dataclass(frozen=True)
class Case:
    text: str
    heard: str
    task: Task
    kept: str


TRANSCRIBE, TO_ENGLISH = Task(), Task(to="en", spoken="fr")


@pytest.mark.parametrize(
    "case",
    [
        Case("hello world", "hello world", TRANSCRIBE, "hello world"),
        Case("hello world thank you", "hello world", TRANSCRIBE, "hello world"),
        Case("call Zoe", "call", Task(None, None, False, ("Zoe",)), "call"),
    ],
)
def test_what_stands(case: Case) -> None:
    segments = (Segment(0.0, 1.0, case.text),)
    kept = before_witness(segments, labels_of(case.heard), case.task)
    assert kept is not None
    assert kept.text == case.kept
    assert bool(kept.concerns) == (case.kept != case.text)


def test_what_the_head_cannot_judge() -> None:
    hello, turn = Segment(0.0, 1.0, "hello"), Segment(0.0, 1.0, "hello", speaker="1")
    assert before_witness((turn,), labels_of("bye"), TRANSCRIBE) is None
    assert before_witness((hello,), labels_of("bonjour"), TO_ENGLISH) is None
    assert before_witness((hello,), [300, 301, 302, 72], TRANSCRIBE) is None  # Japanese
    assert before_witness((), labels_of(""), TRANSCRIBE) is None
