"""--output-template: what its fields are, and what is refused before anything is loaded."""

from collections.abc import Callable
from pathlib import Path, PurePath
from typing import Any

import pytest

from granite_mlx.cli.failures import UsageError
from granite_mlx.cli.inputs import Recording
from granite_mlx.cli.template import FIELDS, OutputName, check_template

Run = Callable[..., Any]
Recordings = Callable[..., Path]


def name(template: str | None, recording: Recording, number: int = 1) -> str:
    (path,) = OutputName(recording, template, ["json"], None).numbered(number)
    return str(path)


FOUND = Recording("talks/2026/may/a.b.WAV", "talks")
NAMED = Recording("talks/2026/call.m4a")


@pytest.mark.parametrize(
    ("template", "recording", "number", "path"),
    [
        (None, NAMED, 1, "call.json"),
        (None, NAMED, 2, "call-2.json"),
        (None, FOUND, 1, "2026/may/a.b.json"),
        (None, FOUND, 3, "2026/may/a.b-3.json"),
        (None, Recording("talks/a.wav", "talks"), 1, "a.json"),
        (None, Recording("talks/a.wav", "talks/"), 1, "a.json"),
        (None, Recording("../talks/x/a.wav", "../talks"), 1, "x/a.json"),
        ("{stem}.{language}.{ext}", NAMED, 1, "call.und.json"),
        ("{stem}.{language}.{ext}", NAMED, 2, "call-2.und.json"),
        ("{folder}/{stem}.{ext}", NAMED, 1, "2026/call.json"),
        ("{folder}/{stem}.{ext}", Recording("-"), 1, "stdin.json"),
        ("x/{folder}/{stem}.{ext}", Recording("-"), 1, "x/stdin.json"),
        ("{stem}/text.{ext}", NAMED, 2, "call/text-2.json"),
        ("{ext}/{stem}.{source_ext}.{ext}", FOUND, 1, "json/a.b.WAV.json"),
        ("{{{stem}}}.json", NAMED, 1, "{call}.json"),
        ("{folder}-{stem}.{ext}", FOUND, 1, "2026/may-a.b.json"),
    ],
)
def test_names(template: str | None, recording: Recording, number: int, path: str) -> None:
    if template is not None:
        check_template(template, ["json"])
    assert name(template, recording, number) == path


@pytest.mark.parametrize(
    ("template", "message"),
    [
        ("{name}.{ext}", "{name} is not a field; the fields are {stem}, {ext}, {folder}"),
        ("{}.{ext}", "{} is not a field"),
        ("{stem.__class__}.{ext}", "{stem.__class__} is not a field"),
        ("{stem:>99}.{ext}", "{stem:>99} is not a field"),
        ("{stem!r}.{ext}", "{stem!r} is not a field"),
        ("{stem.{ext}", "brace has no partner"),
        ("stem}.{ext}", "brace has no partner"),
        ("/tmp/{stem}.{ext}", "leads out of the output folder"),
        ("../{stem}.{ext}", "leads out of the output folder"),
        ("x/../../{stem}.{ext}", "leads out of the output folder"),
        ("{stem}", "does not end in a name and .{ext}"),
        ("{stem}.txt/", "does not end in a name and .{ext}"),
        ("{stem}/.{ext}", "does not end in a name and .{ext}"),
        ("{stem}.json", "does not end in a name and .{ext}"),
        ("", "does not end in a name and .{ext}"),
    ],
)
def test_what_is_refused(
    template: str, message: str, run: Run, model: Any, recording: Recordings, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    ran = run("transcribe", recording("a.wav"), "-o", out, "--output-template", template)
    assert (ran.code, ran.out, model.loaded) == (2, "", [])
    assert ran.err.startswith(f"granite-mlx: --output-template {template}: ")
    assert message in ran.err
    assert ran.err.count("\n") == 1
    assert not out.exists()


def test_a_single_suffix_does_not_name_two_formats() -> None:
    check_template("{stem}.txt", ["txt"])
    with pytest.raises(UsageError, match=r"does not end in a name and \.\{ext\}"):
        check_template("{stem}.txt", ["txt", "json"])


@pytest.mark.parametrize(
    ("template", "argument"),
    [
        ("{stem}/{language}.{ext}", "...wav"),  # its stem is ..
        ("{source_ext}.{ext}", "a"),
    ],
)
def test_a_name_that_only_a_recording_makes_wrong(template: str, argument: str) -> None:
    check_template(template, ["json"])
    with pytest.raises(UsageError, match="which is no name of a json file in the output folder"):
        name(template, Recording(argument))


def test_the_language_is_what_was_asked(run: Run, recording: Recordings, tmp_path: Path) -> None:
    a, out = recording("talks/a.wav"), tmp_path / "out"
    options = ["-o", out, "--output-template", "{folder}/{stem}.{language}.{ext}"]
    assert run("transcribe", a, *options).code == 0
    assert run("transcribe", a, "--language", "French", *options).code == 0
    assert run("translate", a, "--to", "German", *options).code == 0
    names = sorted(str(path.relative_to(out)) for path in out.rglob("*.txt"))
    assert names == ["talks/a.de.txt", "talks/a.fr.txt", "talks/a.und.txt"]


def test_the_fields_are_documented(repository: Path) -> None:
    text = (repository / "docs" / "files.md").read_text()
    for field in FIELDS:
        assert f"| `{{{field}}}` |" in text


def test_a_template_needs_a_folder(run: Run, model: Any, recording: Recordings) -> None:
    ran = run("transcribe", recording("a.wav"), "--output-template", "{stem}.{ext}")
    assert (ran.code, model.loaded) == (2, [])
    assert ran.err == ("granite-mlx: --output-template is about output files and needs -o DIR.\n")


def test_purepath_agrees_with_the_recordings_suffix() -> None:
    assert PurePath(NAMED.name).suffix == ".m4a"
