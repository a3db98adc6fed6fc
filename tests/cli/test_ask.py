"""`granite-mlx ask` with a scripted speech model, and text models scripted and real."""

import importlib.util
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from granite_mlx.transcript import Segment, Transcript

from .conftest import Ran

SECOND_PASS = Path(__file__).parent.parent / "second_pass"
Run = Callable[..., Ran]


def helper(name: str) -> Any:
    spec = importlib.util.spec_from_file_location(name, SECOND_PASS / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """Have a scripted text model answer; -> the model."""

    def answers(*texts: str, **options: Any) -> Any:
        model = helper("scripted").Scripted(texts, **options)
        monkeypatch.setattr("granite_mlx.cli.ask.open_text_model", lambda *_: model)
        return model

    return answers


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    segments = (Segment(0.0, 5.0, "the bridge is put off"), Segment(65.0, 70.0, "by Friday"))
    place = tmp_path / "meeting.json"
    Transcript(segments, "en", None, "transcribe", 70.0, "some/model").save(place)
    return place


# Text and JSON


def test_an_answer_is_printed_and_what_was_not_said_is_told(
    run: Run, answers: Any, saved: Path, model: Any
) -> None:
    text_model = answers('It is "put off" [0], "for ever" [1].')
    ran = run("ask", saved, "Is it built?")
    assert ran.out == (
        'It is "put off" [0 at 0:00:00], "for ever" [not in the transcript] [1 at 0:01:05]. \n'
    )
    assert ran.err == 'granite-mlx: warning: not in the transcript: "for ever".\n'
    assert ran.code == 0
    assert "Is it built?" in text_model.prompts[0]
    assert model.loaded == []  # a saved transcript needs no speech model


def test_json_is_one_line_with_the_file_in_front(run: Run, answers: Any, saved: Path) -> None:
    value = {"summary": "Off.", "points": [{"text": "Off.", "segments": [0]}]}
    answers(json.dumps(value))
    ran = run("ask", saved, "--task", "summary", "-f", "json", "-q")
    assert (ran.code, ran.err, ran.out.count("\n")) == (0, "", 1)
    record = json.loads(ran.out)
    assert list(record)[:4] == ["file", "schema_version", "task", "question"]
    assert (record["file"], record["answer"]) == (str(saved), value)
    assert record["citations"] == [
        {"segment": 0, "start_s": 0.0, "end_s": 5.0, "text": "the bridge is put off"}
    ]
    assert (record["text_model"], record["speech_model"]) == ("scripted", "some/model")


def test_no_valid_json_is_a_failure(run: Run, answers: Any, saved: Path) -> None:
    answers("no", "no", "no")
    ran = run("ask", saved, "--task", "summary", "-f", "json")
    assert (ran.code, ran.out) == (2, "")
    assert ran.err.startswith("granite-mlx: scripted gave no valid JSON in 3 tries")


def test_what_a_model_writes_cannot_act_on_the_terminal(
    run: Run, answers: Any, saved: Path
) -> None:
    answers("red \x1b[31m bell \x07\nnext\tline \u2028")
    assert run("ask", saved, "So?").out == "red \\x1b[31m bell \\x07\nnext\tline \\u2028 \n"


def test_json_cannot_act_on_the_terminal_either(run: Run, answers: Any, saved: Path) -> None:
    value = {"summary": "red \x9b31m \x1b[1m\u2028é", "points": []}
    answers(json.dumps(value))
    out = run("ask", saved, "--task", "summary", "-f", "json").out
    assert "red \\u009b31m \\u001b[1m\\u2028é" in out
    assert json.loads(out)["answer"] == value


def test_a_question_behind_options(run: Run, answers: Any, saved: Path) -> None:
    text_model = answers("Yes.")
    assert run("ask", saved, "--max-new-tokens", "7", "Is it?").code == 0
    assert text_model.limits == [7]


def test_a_prompt_and_a_schema_of_your_own(
    run: Run, answers: Any, saved: Path, tmp_path: Path
) -> None:
    (tmp_path / "mine.txt").write_text("Count {{transcript}}")
    (tmp_path / "mine.json").write_text('{"type": "object", "required": ["n"]}')
    text_model = answers('{"n": 2}')
    ran = run("ask", saved, "--prompt", tmp_path / "mine.txt", "--schema", tmp_path / "mine.json",
              "-f", "json")  # fmt: skip
    assert json.loads(ran.out)["answer"] == {"n": 2}
    assert text_model.prompts[0].partition("\n\n")[2].startswith("Count <transcript-")


def test_tasks_are_written_out_changed_and_used(
    run: Run, answers: Any, saved: Path, tmp_path: Path
) -> None:
    ran = run("ask", "--write-tasks", tmp_path / "mine")
    assert ran.code == 0
    assert str(tmp_path / "mine" / "minutes") in ran.out.splitlines()
    (tmp_path / "mine" / "minutes" / "prompt.txt").write_text("Protokoll: {{transcript}}")
    text_model = answers("Nichts.")
    assert run("ask", saved, "--task", tmp_path / "mine" / "minutes").out == "Nichts. \n"
    assert text_model.prompts[0].partition("\n\n")[2].startswith("Protokoll: ")
    again = run("ask", "--write-tasks", tmp_path / "mine")
    assert again.code == 2
    assert "exists; give another folder" in again.err


# Transcripts


def test_a_transcript_is_made_kept_and_used_again(
    run: Run, answers: Any, recording: Callable[..., Path], model: Any
) -> None:
    path = recording("call.wav", "the bridge is put off")
    place = path.with_name("call.wav.json")
    answers("Yes.", "No.")
    assert run("ask", path, "Is it?", "-k", "bridge").out == "Yes. \n"
    kept = Transcript.from_json(place.read_text())
    assert kept.text == "the bridge is put off"
    assert [one.term for one in kept.keywords] == ["bridge"]
    assert (len(model.calls), model.closed) == (1, 1)
    assert run("ask", path, "Is it?").out == "No. \n"
    assert (len(model.calls), len(model.loaded)) == (1, 1)


@pytest.mark.parametrize("why", ["fresh", "newer", "model", "keyword", "language"])
def test_a_transcript_is_made_anew(
    why: str, run: Run, answers: Any, recording: Callable[..., Path], model: Any
) -> None:
    path = recording("call.wav", "words")
    answers("Yes.", "No.")
    run("ask", path, "Is it?")
    if why == "newer":
        os.utime(path, (4e9, 4e9))
    options = {"fresh": ["--fresh"], "newer": [], "model": ["-m", "other"],
               "keyword": ["-k", "bridge"], "language": ["--language", "fr"]}[why]  # fmt: skip
    assert run("ask", path, "Is it?", *options).code == 0
    assert len(model.calls) == 2


def test_a_transcript_elsewhere(
    run: Run, answers: Any, recording: Callable[..., Path], tmp_path: Path
) -> None:
    path = recording("call.wav", "words")
    answers("Yes.")
    assert run("ask", path, "Is it?", "--transcript", tmp_path / "t.json").code == 0
    assert (tmp_path / "t.json").exists()
    assert not path.with_name("call.wav.json").exists()


def test_another_file_in_its_place_is_left_alone(
    run: Run, answers: Any, recording: Callable[..., Path], model: Any
) -> None:
    path = recording("call.wav", "words")
    other = path.with_name("call.wav.json")
    other.write_text('{"mine": true}')
    answers("Yes.")
    ran = run("ask", path, "Is it?", "--fresh")
    assert ran.code == 2
    assert "this is no transcript of granite-mlx" in ran.err
    assert other.read_text() == '{"mine": true}'
    assert model.calls == []


def test_a_transcript_that_cannot_be_kept_is_a_warning(
    run: Run, answers: Any, recording: Callable[..., Path], tmp_path: Path
) -> None:
    path = recording("call.wav", "words")
    answers("Yes.")
    ran = run("ask", path, "Is it?", "--transcript", tmp_path / "no" / "t.json")
    assert (ran.code, ran.out) == (0, "Yes. \n")
    assert "the transcript cannot be kept (No such file or directory)" in ran.err


# Real text models


@pytest.fixture(scope="module")
def text_model_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder: Path = helper("tiny_text").write_text_model(tmp_path_factory.mktemp("text"))
    return folder


def test_a_real_text_model_writes(run: Run, saved: Path, text_model_folder: Path) -> None:
    ran = run("ask", saved, "--task", "minutes", "-t", text_model_folder, "--max-new-tokens", "12")
    assert ran.code == 0
    assert len(ran.out) > 12
    assert ran.err.endswith("the answer broke off at the limit of 12 tokens.\n")


def test_a_long_transcript_in_a_small_window(
    run: Run, tmp_path: Path, text_model_folder: Path
) -> None:
    segments = tuple(Segment(n, n + 1, f"this is point {n}") for n in range(40))
    Transcript(segments, "en", None, "transcribe", 40.0, "m").save(tmp_path / "long.json")
    ran = run("ask", tmp_path / "long.json", "--task", "summary", "-t", text_model_folder,
              "--window", "1000", "--max-new-tokens", "9")  # fmt: skip
    assert ran.code == 0
    assert "the notes on a part broke off at the limit of 9 tokens." in ran.err


def test_the_speech_decoder_says_that_it_is_an_experiment(
    finish: Callable[..., Ran], saved: Path
) -> None:
    ran = finish("ask", saved, "So?", "-m", "demo", "-t", "speech-decoder", "--max-new-tokens", "5",
                 real=True)  # fmt: skip
    assert ran.code == 0, ran.err
    assert "the speech model's own decoder: an experiment" in ran.err


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ([], "which recording?"),
        (["FILE"], "Give a question behind the file, or name another --task"),
        (["FILE", "Is", "it?"], "put quotation marks around it"),
        (["FILE", "So?", "--task", "summary"], "the task summary takes no question"),
        (["FILE", "So?", "--task", "poem"], "there is no task 'poem'"),
        (["FILE", "--task", "answer"], "Give a question behind the file."),
        (["FILE", "--schema", "x.json", "So?"], "--schema belongs to --prompt"),
        (["FILE", "--prompt", "x.txt", "--task", "summary"], "--prompt is a task of its own"),
        (["nowhere.wav", "So?"], "nowhere.wav: there is no such file."),
        (["FILE", "So?", "-t", "nowhere"], "there is no folder 'nowhere'"),
        (["FILE", "So?", "-t", "speech-decoder", "--window", "9"], "not for -t speech-decoder"),
        (["FILE", "So?", "-k", "bridge"], "is a transcript; --keyword is for recordings"),
        (["FILE", "So?", "--transcript", "x"], "is a transcript; --transcript is for recordings"),
        (["call.wav", "So?", "--transcript", "x.srt"], "x.srt: it is kept as JSON"),
        (["FILE", "--task", "clean-up", "--cleaned", "no/c.srt"], "there is no folder no."),
        (["FILE", "--task", "clean-up", "--cleaned", "FILE"], "that is what is asked about"),
        (["c.wav", "--task", "clean-up", "--cleaned", "c.wav.json"], "that is what is asked about"),
        (["FILE", "So?", "--max-new-tokens", "0"], "0 is not 1 or more"),
    ],
)
def test_what_makes_no_sense_is_one_sentence(
    arguments: list[str], complaint: str, run: Run, saved: Path
) -> None:
    ran = run("ask", *(str(saved) if one == "FILE" else one for one in arguments))
    assert (ran.code, ran.out) == (2, "")
    assert complaint in ran.err
    assert ran.err.count("\n") == 1


def test_without_the_extra_it_is_named(
    run: Run, saved: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "mlx_lm", None)
    ran = run("ask", saved, "So?")
    assert ran.code == 2
    assert "pip install 'granite-mlx[ask]'" in ran.err


def test_a_cleaned_transcript_is_written(
    run: Run, answers: Any, saved: Path, tmp_path: Path
) -> None:
    lines = [{"segment": 0, "rewritten": "The bridge is put off."}]
    answers(json.dumps({"lines": lines}))
    ran = run("ask", saved, "--task", "clean-up", "--cleaned", tmp_path / "clean.txt")
    assert (ran.code, ran.out) == (0, "")
    assert (tmp_path / "clean.txt").read_text() == "The bridge is put off.\nby Friday\n"
    assert "65.00-70.00 s: left as it was: the clean-up left it out." in ran.err
    for wrong in (["--task", "summary", "--cleaned", "c.txt"],
                  ["--task", "clean-up", "--cleaned", "c.doc"]):  # fmt: skip
        assert run("ask", saved, *wrong).code == 2
