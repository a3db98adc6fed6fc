"""Subtitles on the command line: their options, where they go, and what is refused."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from granite_mlx.transcript import Transcript

Run = Callable[..., Any]
Recordings = Callable[..., Path]

SRT = "1\n00:00:00,000 --> 00:00:01,500\none two three\n"
VTT = "WEBVTT\n\n00:00:00.000 --> 00:00:01.500\none two three\n"
TSV = "start\tend\ttext\n0\t1500\tone two three\n"


@pytest.mark.parametrize(("form", "text"), [("srt", SRT), ("vtt", VTT), ("tsv", TSV)])
def test_one_file_is_all_of_stdout(form: str, text: str, run: Run, recording: Recordings) -> None:
    ran = run("transcribe", recording("a.wav", "one two three"), "-f", form)
    assert (ran.code, ran.out, ran.err) == (0, text, "")


def test_several_files_stand_under_their_names(run: Run, recording: Recordings) -> None:
    a, b = (recording(name, "one two three") for name in ("a.wav", "b.wav"))
    ran = run("transcribe", a, b, "-f", "srt")
    assert ran.out == f"== {a} ==\n{SRT}== {b} ==\n{SRT}"


def test_all_writes_the_same_to_a_folder(run: Run, recording: Recordings, tmp_path: Path) -> None:
    ran = run("transcribe", recording("a.wav", "one two three"), "-f", "all", "-o", tmp_path / "o")
    assert (ran.code, ran.out) == (0, "")
    for suffix, text in (("srt", SRT), ("vtt", VTT), ("tsv", TSV), ("txt", "one two three\n")):
        assert (tmp_path / "o" / f"a.{suffix}").read_text() == text
    assert Transcript.from_json((tmp_path / "o" / "a.json").read_text()).text == "one two three"


@pytest.mark.parametrize("to_folder", [False, True])
def test_the_options_shape_the_cues(
    to_folder: bool, run: Run, recording: Recordings, tmp_path: Path
) -> None:
    options = "--max-line-width 10 --max-line-count 3 --max-words-per-line 2 --min-cue-s 0.5"
    options += " --max-cue-s 5 --max-chars-per-s 30"
    place = ("-o", tmp_path / "out") if to_folder else ()
    path = recording("a.wav", "a b c d e f")
    ran = run("translate", path, "--to", "fr", "-f", "srt", *options.split(), *place)
    assert ran.code == 0
    written = (tmp_path / "out" / "a.srt").read_text() if to_folder else ran.out
    assert written == "1\n00:00:00,000 --> 00:00:01,500\na b\nc d\ne f\n"


def test_nothing_to_highlight_is_said(run: Run, recording: Recordings) -> None:
    path = recording("a.wav", "one two three")
    ran = run("transcribe", path, recording("b.wav", ""), "-f", "srt", "--highlight-words")
    assert ran.code == 0
    assert SRT in ran.out
    assert ran.err == (
        f"granite-mlx: warning: {path}: no word is highlighted, because word times are not known.\n"
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("--highlight-words", "--highlight-words is for subtitles, not for txt; add -f srt or vtt"),
        ("-f tsv --max-line-width 30", "--max-line-width is for subtitles, not for tsv;"),
        ("-f json --max-line-count 1", "--max-line-count is for subtitles, not for json;"),
        ("-f txt --max-words-per-line 1", "--max-words-per-line is for subtitles, not for txt;"),
        ("--max-chars-per-s 9 --min-cue-s 0", "--min-cue-s is for subtitles, not for txt;"),
        ("-f srt --max-line-width 5", "max_line_width must be a whole number from 10 to 1000, not"),
        ("-f vtt --max-cue-s nan", "max_cue_s must be a number from 0.1 to 60, not nan."),
        ("-f srt --max-cue-s 0.5", "min_cue_s (1) must not be above max_cue_s (0.5)."),
        ("-f srt --max-line-count two", "argument --max-line-count: 'two' is not a whole number"),
    ],
)
def test_what_makes_no_sense_ends_before_the_model_is_loaded(
    arguments: str, message: str, run: Run, model: Any, recording: Recordings
) -> None:
    ran = run("transcribe", recording("a.wav"), *arguments.split())
    assert (ran.code, ran.out, model.loaded) == (2, "", [])
    assert ran.err.startswith(f"granite-mlx: {message}")
    assert ran.err.count("\n") == 1
