"""Saving: the suffix decides, and a file is there complete or not at all."""

import json
import os
from pathlib import Path

import pytest

from granite_mlx.transcript import FORMATS, Segment, Transcript

HELLO = Transcript(
    (Segment(0, 1, "« bonjour »"), Segment(1, 2, ""), Segment(2, 3, "à tous")),
    "fr",
    None,
    "transcribe",
    3.0,
    "demo",
)


def test_the_formats() -> None:
    assert FORMATS == ("txt", "srt", "vtt", "tsv", "json")


def test_txt_holds_one_segment_a_line(tmp_path: Path) -> None:
    HELLO.save(tmp_path / "call.txt")
    assert (tmp_path / "call.txt").read_bytes() == "« bonjour »\nà tous\n".encode()


def test_txt_names_the_speakers(tmp_path: Path) -> None:
    turns = (Segment(0, 3, "hello", speaker="Speaker 1"), Segment(0, 3, "hm"))
    Transcript(turns, "en", None, "transcribe", 3.0, "demo").save(tmp_path / "call.txt")
    assert (tmp_path / "call.txt").read_text() == "Speaker 1: hello\nhm\n"


def test_json_is_the_schema_and_a_newline(tmp_path: Path) -> None:
    HELLO.save(str(tmp_path / "call.JSON"))
    assert (tmp_path / "call.JSON").read_bytes() == (HELLO.to_json() + "\n").encode()


def test_an_empty_transcript_is_an_empty_line(tmp_path: Path) -> None:
    Transcript((), None, None, "transcribe", 3.0, "demo").save(tmp_path / "call.txt")
    assert (tmp_path / "call.txt").read_bytes() == b"\n"


@pytest.mark.parametrize("name", ["call.sbv", "call.md", "call", "call.", ".txt"])
def test_another_suffix_is_refused_with_the_formats_that_exist(tmp_path: Path, name: str) -> None:
    with pytest.raises(ValueError, match=r"the formats are \.txt, \.srt, \.vtt, \.tsv and \.json"):
        HELLO.save(tmp_path / name)
    assert list(tmp_path.iterdir()) == []


def test_an_earlier_file_is_replaced(tmp_path: Path) -> None:
    place = tmp_path / "call.txt"
    place.write_text("a much longer text than the one that comes now, all of it\n")
    HELLO.save(place)
    assert place.read_text(encoding="utf-8") == "« bonjour »\nà tous\n"


def test_the_target_of_a_link_is_replaced_and_the_link_stays(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    target, link = tmp_path / "real" / "call.txt", tmp_path / "link.txt"
    target.write_text("old")
    link.symlink_to(target)
    HELLO.save(link)
    assert link.is_symlink()
    assert target.read_text(encoding="utf-8").startswith("« bonjour »")


def test_the_usual_permissions_hold(tmp_path: Path) -> None:
    HELLO.save(tmp_path / "call.txt")
    (tmp_path / "plain").write_text("")
    assert (tmp_path / "call.txt").stat().st_mode == (tmp_path / "plain").stat().st_mode


@pytest.mark.parametrize("interruption", [KeyboardInterrupt, OSError(28, "No space left")])
def test_an_interrupted_write_leaves_the_earlier_file_and_nothing_else(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    interruption: type[BaseException] | BaseException,
) -> None:
    place = tmp_path / "call.txt"
    place.write_text("old")

    def interrupted(_descriptor: int) -> None:
        raise interruption

    monkeypatch.setattr("os.fsync", interrupted)
    with pytest.raises((KeyboardInterrupt, OSError)):
        HELLO.save(place)
    assert os.listdir(tmp_path) == ["call.txt"]
    assert place.read_text() == "old"


def test_an_error_names_the_file_that_was_asked_for(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for place in (tmp_path / "missing" / "call.txt", tmp_path / "file" / "call.txt"):
        with pytest.raises(OSError, match=r"No such file|Not a directory") as caught:
            HELLO.save(place)
        assert caught.value.filename == str(place)


def test_a_lone_surrogate_does_not_stop_the_writing(tmp_path: Path) -> None:
    # The name of a model's folder comes from the file system, which may hold any bytes.
    t = Transcript((Segment(0, 1, "a"),), None, None, "transcribe", 1.0, "models/\udcff")
    t.save(tmp_path / "call.json")
    text = (tmp_path / "call.json").read_text(encoding="utf-8")
    assert json.loads(text)["model"] == "models/\udcff"
    assert Transcript.from_json(text) == t


def test_a_name_as_long_as_the_file_system_allows(tmp_path: Path) -> None:
    place = tmp_path / ("x" * 251 + ".txt")
    HELLO.save(place)
    assert place.exists()
