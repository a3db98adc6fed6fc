"""`granite-mlx ask FILE "QUESTION"`"""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from granite_mlx.cli.arguments import add_model_arguments, add_spoken_arguments, count
from granite_mlx.cli.exits import Exit
from granite_mlx.cli.failures import UsageError
from granite_mlx.cli.listener import download_progress, load_model
from granite_mlx.cli.loop import warning_text
from granite_mlx.cli.model import ModelLoader, SpeechModel
from granite_mlx.cli.saved_transcript import SUFFIX, transcript_of
from granite_mlx.cli.screen import Screen, shown
from granite_mlx.transcript import FORMATS as SAVED_AS

if TYPE_CHECKING:
    from granite_mlx.second_pass import Answer, Task, TextModel
    from granite_mlx.transcript import Transcript

NAME = "ask"
SUMMARY = "ask a text model about a recording: a question, a summary, minutes"
DESCRIPTION = """\
Ask a Granite text model about a recording, in a second, separate call: first comes the
transcript, which is saved and used again, then the question. Needs the extra ask:
pip install 'granite-mlx[ask]'."""
EXAMPLES = """\
examples:
  granite-mlx ask call.m4a "What was decided, and by whom?"
  granite-mlx ask call.m4a --task minutes
  granite-mlx ask call.m4a.json --task summary -f json
  granite-mlx ask talk.flac "Who is it about?" -t mlx-community/some-other-model
  granite-mlx ask call.m4a --task clean-up --cleaned call.srt
  granite-mlx ask --write-tasks my-tasks
  granite-mlx ask call.m4a --task my-tasks/minutes
"""

SPEECH_DECODER = "speech-decoder"
FORMATS = ("text", "json")
DEFAULT_TASK = "answer"
ACTING = re.compile(r"[\x7f-\x9f\u2028\u2029]")  # on a terminal; JSON escapes the others itself


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of this command."""
    parser.usage = "%(prog)s [options] FILE [QUESTION]"
    parser.add_argument(
        "files",
        metavar="FILE [QUESTION]",
        nargs="*",
        help="a recording or the JSON of its transcript; and what is asked about it",
    )
    _add_task_arguments(parser.add_argument_group("task"))
    _add_text_model_arguments(parser.add_argument_group("text model"))
    speech = parser.add_argument_group("speech")
    add_model_arguments(speech)
    add_spoken_arguments(speech)
    speech.add_argument(
        "--transcript",
        metavar="JSON",
        type=Path,
        help="where the transcript is kept (default: beside the recording, as call.m4a.json)",
    )
    speech.add_argument(
        "--fresh", action="store_true", help="listen again, whatever transcript there is"
    )
    output = parser.add_argument_group("output")
    output.add_argument(
        "-f",
        "--output-format",
        choices=FORMATS,
        default=FORMATS[0],
        help="text, as it is written; or one line of JSON, whose answer is valid against the "
        "task's schema (default: text)",
    )
    output.add_argument(
        "--cleaned",
        metavar="FILE",
        type=Path,
        help="with --task clean-up: write the transcript without its disfluencies to this file, in "
        "the format of its suffix (txt, srt, vtt, tsv, json), and print no answer",
    )
    output.add_argument("-q", "--quiet", action="store_true", help="errors only on stderr")


def _add_task_arguments(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--task",
        metavar="TASK",
        help="answer, summary, minutes, clean-up, or the folder of one of your own (default: "
        "answer)",
    )
    group.add_argument(
        "--prompt",
        metavar="FILE",
        type=Path,
        help="a text file with a prompt of your own, in which {{transcript}} and {{question}} "
        "stand for the two",
    )
    group.add_argument(
        "--schema",
        metavar="FILE",
        type=Path,
        help="the JSON Schema of the answers to --prompt with -f json",
    )
    group.add_argument(
        "--write-tasks",
        metavar="DIR",
        type=Path,
        help="copy the tasks' prompts and schemas to a folder, to be changed there, and do no more",
    )


def _add_text_model_arguments(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "-t",
        "--text-model",
        metavar="MODEL",
        help="a Hugging Face id or a folder of a model for mlx-lm (default: "
        "$GRANITE_MLX_TEXT_MODEL, or ibm-granite/granite-4.0-h-micro); or speech-decoder: an "
        "experiment with the speech model's own decoder, without another download",
    )
    group.add_argument("--text-revision", metavar="REVISION", help="of the Hugging Face id")
    group.add_argument(
        "--window",
        metavar="N",
        type=count,
        help="the most tokens of a prompt and its answer; a longer transcript is read in parts "
        "(default: what the text model was made for)",
    )
    group.add_argument(
        "--max-new-tokens",
        metavar="N",
        type=count,
        default=1024,
        help="the most tokens of an answer (default: 1024)",
    )


@dataclass(frozen=True)
class Asked:
    """What the arguments ask for."""

    file: Path
    question: str | None
    task: Task


def run(arguments: argparse.Namespace, screen: Screen, load: ModelLoader) -> int:
    """Answer the question. -> exit code."""
    if arguments.write_tasks is not None:
        return _write_tasks(arguments, screen)
    asked = _asked(arguments)
    with _speech_model(arguments, screen, load) as speech:
        transcript = transcript_of(asked.file, arguments, screen, speech)
        model = open_text_model(arguments, screen, speech)
        answer = _answer(asked, arguments, screen, model, transcript)
    for warning in answer.warnings:
        screen.warning(warning.message)
    return Exit.COMPLETE


def _answer(
    asked: Asked,
    arguments: argparse.Namespace,
    screen: Screen,
    model: TextModel,
    transcript: Transcript,
) -> Answer:
    from granite_mlx.second_pass import SecondPass

    second = SecondPass(model, max_new_tokens=min(arguments.max_new_tokens, model.window - 1))
    is_json = arguments.output_format == "json" or arguments.cleaned is not None
    screen.progress(f"Asking {shown(model.model_id)}")
    answer = second.ask(
        transcript,
        asked.question,
        task=asked.task,
        form="json" if is_json else "text",
        on_text=lambda text: screen.result(harmless(text)),
        on_part=lambda n, n_parts: screen.progress(f"Reading part {n} of {n_parts}"),
    )
    if arguments.cleaned is not None:
        _save_cleaned(arguments.cleaned, transcript, answer, screen)
    elif is_json:
        record: dict[str, Any] = {"file": str(asked.file), **answer.to_record()}
        text = json.dumps(record, ensure_ascii=False, allow_nan=False)
        screen.result(ACTING.sub(lambda one: f"\\u{ord(one[0]):04x}", text) + "\n")
    elif not answer.text.endswith("\n"):
        screen.result("\n")
    return answer


def _save_cleaned(place: Path, transcript: Transcript, answer: Answer, screen: Screen) -> None:
    from granite_mlx.second_pass import cleaned

    result = cleaned(transcript, answer)
    result.save(place)
    screen.note(f"the transcript without its disfluencies -> {shown(str(place))}")
    for warning in result.warnings[len(transcript.warnings) :]:
        screen.warning(warning_text(warning))


def _asked(arguments: argparse.Namespace) -> Asked:
    """The arguments, checked before anything is loaded."""
    from granite_mlx.second_pass import load_task, read_schema, task_of_prompt

    file, question = _file_and_question(arguments.files)
    is_decoder = arguments.text_model == SPEECH_DECODER
    if is_decoder and (arguments.text_revision is not None or arguments.window is not None):
        raise UsageError("--text-revision and --window are not for -t speech-decoder.")
    if arguments.prompt is not None:
        if arguments.task is not None:
            raise UsageError("--prompt is a task of its own; leave out --task.")
        schema = None if arguments.schema is None else read_schema(arguments.schema)
        task = task_of_prompt(arguments.prompt, schema)
    else:
        if arguments.schema is not None:
            raise UsageError("--schema belongs to --prompt; the other tasks have their own.")
        task = load_task(arguments.task or DEFAULT_TASK)
    if task.needs_question and question is None:
        hint = "" if arguments.task or arguments.prompt else ", or name another --task"
        raise UsageError(f"what is asked? Give a question behind the file{hint}.")
    if question is not None and not task.needs_question:
        raise UsageError(f"the task {task.name} takes no question; leave it out.")
    if arguments.cleaned is not None and task.name != "clean-up":
        raise UsageError("--cleaned belongs to --task clean-up.")
    if arguments.cleaned is not None and arguments.cleaned.suffix[1:].lower() not in SAVED_AS:
        raise UsageError(
            f"--cleaned {arguments.cleaned}: the suffix has to be one of the formats "
            f"{', '.join(SAVED_AS)}."
        )
    _check_places(file, arguments.transcript, arguments.cleaned)
    if arguments.output_format == "json" and task.schema is None:
        raise UsageError(f"-f json needs a schema, and the task {task.name} has none.")
    return Asked(file, question, task)


def _check_places(file: Path, transcript: Path | None, cleaned: Path | None) -> None:
    """Before hours of work: whether what comes of it can be written, over nothing that is asked
    about."""
    is_recording = file.suffix.lower() != SUFFIX
    if is_recording and transcript is not None and transcript.suffix.lower() != SUFFIX:
        raise UsageError(
            f"--transcript {transcript}: it is kept as JSON; end its name in {SUFFIX}."
        )
    if cleaned is None:
        return
    if not cleaned.parent.is_dir():
        raise UsageError(f"--cleaned {cleaned}: there is no folder {cleaned.parent}.")
    kept = transcript or file.with_name(file.name + SUFFIX)
    if cleaned.resolve() in (file.resolve(), kept.resolve()):
        raise UsageError(f"--cleaned {cleaned}: that is what is asked about; name another file.")


def _file_and_question(words: list[str]) -> tuple[Path, str | None]:
    if not words or not words[0]:
        raise UsageError("which recording? Give a file, or the JSON of its transcript.")
    if len(words) > 2:
        raise UsageError("one file and one question, please: put quotation marks around it.")
    return Path(words[0]), words[1] if len(words) == 2 else None


def _write_tasks(arguments: argparse.Namespace, screen: Screen) -> int:
    from granite_mlx.second_pass import write_tasks

    try:
        places = write_tasks(arguments.write_tasks)
    except FileExistsError as error:
        raise UsageError(str(error)) from error
    screen.result("".join(f"{shown(str(place))}\n" for place in places))
    return Exit.COMPLETE


class Speech:
    """The speech model, loaded when it is needed, which with a saved transcript it is not."""

    def __init__(self, load: Callable[[], SpeechModel]) -> None:
        self._load = load
        self._model: SpeechModel | None = None

    def open(self) -> SpeechModel:
        """The model."""
        if self._model is None:
            self._model = self._load()
        return self._model

    def close(self) -> None:
        """Free its memory: the text model needs that."""
        if self._model is not None:
            self._model.close()
            self._model = None


@contextmanager
def _speech_model(
    arguments: argparse.Namespace, screen: Screen, load: ModelLoader
) -> Iterator[Speech]:
    speech = Speech(lambda: load_model(arguments, load, screen))
    try:
        yield speech
    finally:
        speech.close()


def open_text_model(arguments: argparse.Namespace, screen: Screen, speech: Speech) -> TextModel:
    """The text model; or the speech model's decoder, for which that stays in memory."""
    from granite_mlx.second_pass import SpeechDecoder, load_text_model

    if arguments.text_model == SPEECH_DECODER:
        return SpeechDecoder(cast(Any, speech.open()))
    speech.close()
    name = shown(arguments.text_model) if arguments.text_model else "the text model"
    screen.progress(f"Loading {name}")
    try:
        return load_text_model(
            arguments.text_model,
            revision=arguments.text_revision,
            window=arguments.window,
            on_progress=download_progress(screen, name),
        )
    except ImportError as error:
        raise UsageError(str(error)) from error


def harmless(text: str) -> str:
    """What a model writes, with control characters escaped that would act on a terminal."""
    lines = text.split("\n")
    return "\n".join("\t".join(map(shown, line.split("\t"))) for line in lines)
