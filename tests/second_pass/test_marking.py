import pytest
from hypothesis import given
from hypothesis import strategies as st

from granite_mlx.second_pass.marking import LONGEST_BRACKET, Evidence, Marker
from granite_mlx.transcript import Transcript

from .conftest import SAID, transcript_of


def marked(text: str, transcript: Transcript) -> tuple[str, Evidence]:
    evidence = Evidence(transcript)
    marker = Marker(evidence)
    return marker.feed(text) + marker.finish(), evidence


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        ("It is put off [2].", "It is put off [2 at 0:01:00]."),
        ("[0, 4] and [1-2]", "[0 at 0:00:00; 4 at 0:02:00] and [1 at 0:00:30 - 2 at 0:01:00]"),
        ("[Line 4], [segments 0, 5]", "[4 at 0:02:00], [0 at 0:00:00; 5: no such segment]"),
        ("[#4] [Speaker 1]", "[4 at 0:02:00] [Speaker 1]"),
        ("Nothing [5].", "Nothing [5: no such segment]."),
        ("Ben: “by Friday”.", "Ben: “by Friday”."),
        ('He said "by Monday" [4].', 'He said "by Monday" [not in the transcript] [4 at 0:02:00].'),
        ("»by Friday« „by Friday“ «by Friday»", "»by Friday« „by Friday“ «by Friday»"),
        ('"by Friday [4]"', '"by Friday [4 at 0:02:00]"'),
        ('unclosed "by Monday\nnext', 'unclosed "by Monday [not in the transcript]\nnext'),
        ('unclosed "by Friday', 'unclosed "by Friday'),
        ('unclosed "by Monday', 'unclosed "by Monday [not in the transcript]'),
        ('["by Monday"]', '["by Monday" [not in the transcript]]'),
        ("[see above] [ ] [", "[see above] [ ] ["),
        ('""', '""'),
        ("it's Ben's", "it's Ben's"),
    ],
)
def test_citations_get_times_and_quotes_are_checked(
    written: str, shown: str, meeting: Transcript
) -> None:
    assert marked(written, meeting)[0] == shown


def test_the_evidence_knows_all_that_was_cited(meeting: Transcript) -> None:
    _, evidence = marked('[4] "by Friday" [0, 9] "never" [4]', meeting)
    assert [one.segment for one in evidence.citations] == [0, 4]
    assert evidence.citations[1].text == SAID[4][1]
    assert evidence.unknown == [9]
    assert [(one.text, one.is_supported) for one in evidence.quotes] == [
        ("by Friday", True), ("never", False),
    ]  # fmt: skip


def test_text_is_held_back_only_inside_of_marks(meeting: Transcript) -> None:
    marker = Marker(Evidence(meeting))
    pieces = ["On ", 'Friday "', "by Fri", 'day" [', "4", "]."]
    shown = [marker.feed(piece) for piece in pieces]
    assert shown == ["On ", "Friday ", "", '"by Friday" ', "", "[4 at 0:02:00]."]
    assert marker.finish() == ""


def test_a_bracket_without_end_is_shown_all_the_same(meeting: Transcript) -> None:
    marker = Marker(Evidence(meeting))
    assert marker.feed("[" + "x" * 2 * LONGEST_BRACKET).startswith("[x")


@given(st.text(alphabet='ab "[]“”1,-\n.«', max_size=60), st.integers(1, 7))
def test_pieces_of_any_size_give_the_same(text: str, size: int) -> None:
    transcript = transcript_of((None, "a b"), (None, "ab ab"))
    evidence = Evidence(transcript)
    marker = Marker(evidence)
    pieces = [marker.feed(text[n : n + size]) for n in range(0, len(text), size)]
    whole, other = marked(text, transcript)
    assert "".join(pieces) + marker.finish() == whole
    assert evidence.quotes == other.quotes
    assert evidence.citations == other.citations


def test_all_segments_of_a_range_are_cited(meeting: Transcript) -> None:
    shown, evidence = marked("So it was [1-3], and [3-9], [4-2].", meeting)
    assert [one.segment for one in evidence.citations] == [1, 2, 3, 4]
    assert evidence.unknown == [9]
    assert shown.startswith("So it was [1 at 0:00:30 - 3 at 0:01:30]")
    assert [one.segment for one in marked("[1-3]", meeting)[1].citations] == [1, 2, 3]


@pytest.mark.parametrize("number", [5, -1])
def test_no_segment_can_be_written_again_that_there_is_not(
    number: int, meeting: Transcript
) -> None:
    evidence = Evidence(meeting)
    assert evidence.rewritten("so", number) == "so [not in the transcript]"
