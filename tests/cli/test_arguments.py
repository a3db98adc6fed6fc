"""Arguments: what they turn into, and the one line for those that make no sense."""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from granite_mlx import Range
from granite_mlx.cli.times import seconds


@pytest.mark.parametrize(
    ("text", "expected_s"),
    [
        ("0", 0.0),
        ("90", 90.0),
        ("90.5", 90.5),
        (".5", 0.5),
        ("1:30", 90.0),
        ("1:30.25", 90.25),
        ("90:00", 5400.0),
        ("1:02:03", 3723.0),
        ("0:00:00.5", 0.5),
    ],
)
def test_times(text: str, expected_s: float) -> None:
    assert seconds(text) == expected_s


@pytest.mark.parametrize(
    "text",
    ["", "-1", "1:", ":30", "1:75", "1:60:00", "1:2:3:4", "nan", "inf", "1e3", "1,5", "1 0", "１"],
)
def test_what_is_not_a_time(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError):
        seconds(text)


def test_a_time_that_no_float_holds() -> None:
    with pytest.raises(argparse.ArgumentTypeError, match="too large"):
        seconds("9" * 400)


def test_without_options_the_model_gets_its_own_defaults(
    run: Callable[..., Any], model: Any, recording: Callable[..., Path]
) -> None:
    path = recording("a.wav")
    assert run("transcribe", path).code == 0
    assert model.loaded == [{"model": None, "revision": None, "dtype": None}]
    assert model.calls == [
        {
            "task": "transcribe",
            "audio": str(path),
            "keywords": None,
            "keyword_boost": 0.0,
            "language": None,
            "punctuate": False,
            "temperature": 0.0,
            "top_p": 1.0,
            "seed": None,
            "max_new_tokens": None,
            "guard": "on",
            "start_s": 0.0,
            "end_s": None,
            "channels": "mixed",
            "ranges": (),
            "batch_size": 8,
            "speculative": "exact",
            "speakers": False,
            "word_times": "aligned",
        }
    ]


def test_every_option_reaches_the_model(
    run: Callable[..., Any], model: Any, recording: Callable[..., Path]
) -> None:
    path = recording("a.wav")
    terms = recording("terms.txt", "\ufeff# names\n\nSiobhán\n  Kathryn  \nErik\n")
    parts = recording(
        "parts.json",
        '[{"start": "1:40", "end": 110.5, "language": "German", "keywords": ["Zoë"]},'
        '{"start": 115, "to": "en", "punctuate": false}]',
    )
    options = (
        f"-m demo --revision v1 --dtype float16 -k Erik --keyword Kubernetes "
        f"--keywords-file {terms} --keyword-boost 2.5 --language French --punctuate "
        f"--temperature 0.5 --top-p 0.9 --seed 7 --max-new-tokens 99 "
        f"--guard off --start 1:30 --end 0:02:00.5 --to en "
        f"--batch-size 3 --channels separate --ranges {parts}"
    )
    assert run("translate", *options.split(), path).code == 0
    assert model.loaded == [{"model": "demo", "revision": "v1", "dtype": "float16"}]
    assert model.calls == [
        {
            "task": "translate",
            "audio": str(path),
            "keywords": ["Erik", "Kubernetes", "Siobhán", "Kathryn"],
            "keyword_boost": 2.5,
            "language": "fr",
            "punctuate": True,
            "temperature": 0.5,
            "top_p": 0.9,
            "seed": 7,
            "max_new_tokens": 99,
            "guard": "off",
            "start_s": 90.0,
            "end_s": 120.5,
            "channels": "separate",
            "ranges": (
                Range(100.0, 110.5, language="German", keywords=["Zoë"]),
                Range(115, to="en", punctuate=False),
            ),
            "batch_size": 3,
            "to": "en",
        }
    ]


@pytest.mark.parametrize(
    ("options", "speakers", "word_times"),
    [
        ("--speakers", True, "aligned"),
        ("--speakers --word-times off", True, "off"),
        ("--word-times model", False, "model"),
    ],
)
def test_speakers_and_word_times_reach_the_model(
    options: str,
    speakers: bool,
    word_times: str,
    run: Callable[..., Any],
    model: Any,
    recording: Callable[..., Path],
) -> None:
    assert run("transcribe", recording("a.wav"), *options.split()).code == 0
    (call,) = model.calls
    assert (call["speakers"], call["word_times"]) == (speakers, word_times)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("", "the following arguments are required: COMMAND (try: granite-mlx --help)"),
        ("sing x", "invalid choice: 'sing'"),
        ("transcribe", "required: FILE (try: granite-mlx transcribe --help)"),
        ("transcribe x --fast --loud", "unrecognized arguments: --fast --loud (try: granite-mlx"),
        ("transcribe x --punct", "unrecognized arguments: --punct"),
        ("translate x", "required: --to (try: granite-mlx translate --help)"),
        ("translate x --to Klingon", "argument --to: the language 'Klingon' is not known"),
        ("transcribe x --language it", "does not understand spoken Italian"),
        ("translate x --to ja --language fr", "does not translate French to Japanese"),
        ("transcribe x --dtype int8", "argument --dtype: invalid choice: 'int8'"),
        ("transcribe x -f sbv", "argument -f/--output-format: invalid choice: 'sbv'"),
        ("transcribe x -f all", "-f all writes several files for each input and needs -o DIR"),
        ("transcribe x --start 1:75", "argument --start: '1:75' has 60 or more"),
        ("transcribe x --end -1", "argument --end: '-1' is not a time"),
        ("transcribe x --start 2 --end 1:0", None),
        ("transcribe x --start 60 --end 1:00", "--end (60 s) must be after --start (60 s)"),
        ("transcribe x --temperature -0.1", "argument --temperature: -0.1 is not"),
        ("transcribe x --temperature nan", "argument --temperature: nan is not"),
        ("transcribe x --temperature inf", "argument --temperature: inf is not"),
        ("transcribe x --temperature warm", "'warm' is not a number"),
        ("transcribe x --top-p 0", "argument --top-p: 0 is not above 0"),
        ("transcribe x --top-p 1.1", "argument --top-p: 1.1 is not above 0"),
        ("transcribe x --seed -1", "argument --seed: -1 is not between 0"),
        ("transcribe x --keyword-boost 21", "argument --keyword-boost: 21 is not between 0 and 20"),
        ("transcribe x --seed 1.5", "'1.5' is not a whole number"),
        ("transcribe x --seed 18446744073709551616", "is not between 0 and 18446744073709551615"),
        ("transcribe x --max-new-tokens 0", "argument --max-new-tokens: 0 is not 1 or more"),
        ("transcribe - x -", "- (stdin) can be given only once"),
        ("transcribe - -k X -", "- (stdin) can be given only once"),
        ("transcribe x -k X y --fast z", "unrecognized arguments: y --fast z (try: granite-mlx"),
        ("transcribe x --speakers --word-times model", "--word-times model cannot be had with"),
        ("transcribe x --word-times yes", "argument --word-times: invalid choice: 'yes'"),
        ("translate x --to fr --speakers", "unrecognized arguments: --speakers"),
        ("doctor x", "unrecognized arguments: x (try: granite-mlx doctor --help)"),
    ],
)
def test_arguments_that_make_no_sense_end_before_the_model_is_loaded(
    arguments: str, message: str | None, run: Callable[..., Any], model: Any
) -> None:
    ran = run(*arguments.split())
    assert (ran.code, ran.out, model.loaded) == (2, "", [])
    if message is not None:
        assert ran.err.startswith("granite-mlx: ")
        assert message in ran.err
        assert ". (try" not in ran.err
    assert ran.err.count("\n") == 1


def test_files_may_stand_on_both_sides_of_an_option(
    run: Callable[..., Any], model: Any, recording: Callable[..., Path]
) -> None:
    a, b, c = (recording(name) for name in ("a.wav", "b.wav", "c.wav"))
    assert run("transcribe", a, "-k", "Erik", b, "--punctuate", c).code == 0
    assert [call["audio"] for call in model.calls] == [str(a), str(b), str(c)]
    assert {(*call["keywords"], call["punctuate"]) for call in model.calls} == {("Erik", True)}


def test_a_name_that_begins_with_a_dash_may_stand_behind_an_option(
    run: Callable[..., Any],
    model: Any,
    recording: Callable[..., Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    a = recording("a.wav")
    monkeypatch.chdir(recording("-k.wav").parent)
    assert run("transcribe", a, "-k", "Erik", "--", "-k.wav").code == 0
    assert [call["audio"] for call in model.calls] == [str(a), "-k.wav"]


def test_a_file_without_a_name_ends_it_before_the_model_is_loaded(
    run: Callable[..., Any], model: Any, recording: Callable[..., Path]
) -> None:
    ran = run("transcribe", recording("a.wav"), "")
    assert (ran.code, ran.out, model.loaded) == (2, "", [])
    assert ran.err == (
        "granite-mlx: one of the FILEs has an empty name; leave it out, or name a recording.\n"
    )


@pytest.mark.parametrize(
    ("script", "message"),
    [
        (None, "cannot be read"),
        ("", "holds no terms"),
        ("# only\n\n   \n# comments\n", "holds no terms"),
        ("good\nb\x00d\n", "line 2"),
    ],
)
def test_a_keywords_file_that_cannot_be_used(
    script: str | None,
    message: str,
    run: Callable[..., Any],
    model: Any,
    recording: Callable[..., Path],
    tmp_path: Path,
) -> None:
    terms = tmp_path / "terms.txt" if script is None else recording("terms.txt", script)
    ran = run("transcribe", recording("a.wav"), "--keywords-file", terms)
    assert (ran.code, ran.out, model.loaded) == (2, "", [])
    assert str(terms) in ran.err
    assert message in ran.err
    assert ran.err.count("\n") == 1


def test_a_keywords_file_that_is_not_utf8(
    run: Callable[..., Any], recording: Callable[..., Path], tmp_path: Path
) -> None:
    (tmp_path / "terms.txt").write_bytes("Siobhán\n".encode("latin-1"))
    ran = run("transcribe", recording("a.wav"), "--keywords-file", tmp_path / "terms.txt")
    assert ran.code == 2
    assert "UTF-8" in ran.err


@pytest.mark.parametrize("term", ["", "   ", "a\nb", "a\udcff"])
def test_a_keyword_that_cannot_be_one(
    term: str, run: Callable[..., Any], model: Any, recording: Callable[..., Path]
) -> None:
    ran = run("transcribe", recording("a.wav"), "-k", "Erik", "-k", term)
    assert (ran.code, model.loaded) == (2, [])
    assert "keyword 2" in ran.err
    assert ran.err.count("\n") == 1


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[", "is not JSON: "),
        ("\udcff", "is not JSON: "),
        ("{}", "holds no list of ranges."),
        ("[3]", "range 1: it is not an object but 3."),
        ('[{"start": 0}, {"end": 3}]', "range 2: it has no start."),
        ('[{"start": 0, "begin": 3}]', "range 1: 'begin' is none of start, end, language"),
        ('[{"start": "1:75"}]', "range 1: '1:75' has 60 or more"),
        ('[{"start": null}]', "range 1: a range's start_s must be a number of seconds, not None."),
        ('[{"start": 5, "end": 4}]', "range 1: a range's end_s must be later"),
        ('[{"start": 0, "language": "klingon"}]', "range 1: "),
        ('[{"start": 0, "language": 3}]', "range 1: language must be text, not 3."),
        ('[{"start": 0, "to": ["fr"]}]', "range 1: to must be text"),
        ('[{"start": 0, "language": "fr", "to": "de"}]', "range 1: "),
        ('[{"start": 0, "keywords": "Ada"}]', "range 1: "),
        ('[{"start": 0, "keywords": {"Ada": 1}}]', "range 1: "),
        ('[{"start": 0, "keywords": [1]}]', "range 1: "),
        ('[{"start": 0, "keywords": {}}]', "range 1: keywords must be a list"),
        ("[" * 100_000, "is not JSON: "),
        (f'[{{"start": 1{"0" * 400}}}]', "range 1: "),
        ('[{"start": 0, "punctuate": "yes"}]', "range 1: punctuate must be true or false"),
        ('[{"start": 0}, {"start": 2, "end": 4}]', ": ranges overlap: "),
        ('[{"start": 0, "to": "fr", "to": "de"}]', ": 'to' stands twice in one object."),
    ],
)
def test_ranges_that_make_no_sense(
    text: str, message: str, run: Callable[..., Any], model: Any, tmp_path: Path
) -> None:
    path = tmp_path / "parts.json"
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
    ran = run("transcribe", "a.wav", "--ranges", path)
    assert (ran.code, ran.out, model.loaded) == (2, "", [])
    assert ran.err.startswith(f"granite-mlx: --ranges {path}")
    assert message in ran.err
    assert ran.err.count("\n") == 1


def test_ranges_that_are_not_there(run: Callable[..., Any], tmp_path: Path) -> None:
    ran = run("transcribe", "a.wav", "--ranges", tmp_path / "none.json")
    assert ran.code == 2
    assert ran.err == f"granite-mlx: --ranges {tmp_path}/none.json: No such file or directory.\n"


@pytest.mark.parametrize("text", ["0", "-1", "1.5", "many", "1025"])
def test_batches_that_cannot_be(text: str, run: Callable[..., Any]) -> None:
    ran = run("transcribe", "a.wav", "--batch-size", text)
    assert ran.code == 2
    assert "argument --batch-size" in ran.err


def test_no_output_takes_the_place_of_a_file_of_ranges(
    run: Callable[..., Any], recording: Callable[..., Path], tmp_path: Path
) -> None:
    talk, ranges = recording("talk.wav"), recording("talk.json", '[{"start": 1}]')
    run("transcribe", talk, "-o", tmp_path, "-f", "json", "--ranges", ranges)
    assert ranges.read_text() == '[{"start": 1}]'
