import json
from typing import Any

import pytest

from granite_mlx.second_pass import Answer, SecondPass, cleaned
from granite_mlx.transcript import Segment, Transcript, Word

from .scripted import Scripted

SAID = (
    "um so we we meet on on Friday",
    "the the bridge uh is put off",
    "",
    "I mean nobody knows",
    "yes",
)


@pytest.fixture
def transcript() -> Transcript:
    words = (Word(0.0, 1.0, "um", 0.5),)
    segments = tuple(Segment(n, n + 1, text, 0.5, "A", words) for n, text in enumerate(SAID))
    return Transcript(segments, "en", None, "transcribe", 5.0, "demo")


def answer(transcript: Transcript, *lines: tuple[int, str], **options: Any) -> Answer:
    value = {"lines": [{"segment": n, "rewritten": text} for n, text in lines]}
    second = SecondPass(Scripted([json.dumps(value)]), max_new_tokens=200)
    return second.ask(transcript, task="clean-up", form="json", **options)


def test_disfluencies_go_and_all_else_stays(transcript: Transcript) -> None:
    given = answer(
        transcript, (0, "So we meet on Friday."), (1, "The bridge is put off."),
        (3, "Nobody knows."), (4, "yes"),
    )  # fmt: skip
    result = cleaned(transcript, given)
    assert [segment.text for segment in result.segments] == [
        "So we meet on Friday.", "The bridge is put off.", "", "Nobody knows.", "yes",
    ]  # fmt: skip
    assert [len(segment.words) for segment in result.segments] == [0, 0, 1, 0, 1]
    assert [(one.start_s, one.speaker) for one in result.segments] == [
        (one.start_s, one.speaker) for one in transcript.segments
    ]
    assert result.warnings == ()
    assert given.warnings == ()


def test_what_is_more_than_a_clean_up_is_not_taken(transcript: Transcript) -> None:
    given = answer(
        transcript, (0, "So we meet on Monday."), (1, "Is put off the bridge."), (3, "Knows.")
    )
    assert [one.code for one in given.warnings] == ["changed_words", "changed_words"]
    assert given.value["lines"][0]["rewritten"] == "So we meet on Monday. [not in the transcript]"
    result = cleaned(transcript, given)
    assert [segment.text for segment in result.segments] == list(SAID)
    assert [(one.start_s, one.message) for one in result.warnings] == [
        (0.0, "left as it was: the clean-up has words that were not said."),
        (1.0, "left as it was: the clean-up has words that were not said."),
        (3.0, "left as it was: the clean-up leaves out more than half of it."),
        (4.0, "left as it was: the clean-up left it out."),
    ]


def test_a_segment_that_was_cut_is_put_together(transcript: Transcript) -> None:
    given = answer(transcript, (0, "So we meet"), (0, "on Friday."))
    assert cleaned(transcript, given).segments[0].text == "So we meet on Friday."


def test_other_answers_are_refused(transcript: Transcript) -> None:
    text = SecondPass(Scripted(["Yes."]), max_new_tokens=9).ask(transcript, task="summary")
    with pytest.raises(ValueError, match="clean-up"):
        cleaned(transcript, text)


def test_a_segment_that_is_written_twice_does_not_say_it_twice(transcript: Transcript) -> None:
    given = answer(transcript, (0, "So we meet on Friday."), (0, "So we meet on Friday."))
    assert cleaned(transcript, given).segments[0].text == SAID[0]


def test_ids_written_as_3_0_are_looked_at_too(transcript: Transcript) -> None:
    text = '{"lines": [{"segment": 3.0, "rewritten": "I mean everybody knows"}]}'
    given = SecondPass(Scripted([text]), max_new_tokens=200).ask(
        transcript, task="clean-up", form="json"
    )
    assert [one.code for one in given.warnings] == ["changed_words"]
    assert [one.segment for one in given.citations] == [3]
    assert cleaned(transcript, given).segments[3].text == SAID[3]
