"""`granite-mlx listen`: what is said into the microphone, as text, while it is said."""

from __future__ import annotations

import argparse
import contextlib
import sys
import time
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from granite_mlx.biasing.terms import read_keywords
from granite_mlx.cli.arguments import (
    add_model_arguments,
    add_output_arguments,
    add_spoken_arguments,
    add_subtitle_arguments,
    check_boost,
    speed,
    subtitle_options,
    target,
)
from granite_mlx.cli.exits import Exit
from granite_mlx.cli.failures import NoModelError, UsageError
from granite_mlx.cli.inputs import Recording
from granite_mlx.cli.listener import load_model
from granite_mlx.cli.live_text import LiveText
from granite_mlx.cli.loop import warning_text
from granite_mlx.cli.manifest import Records
from granite_mlx.cli.model import ModelLoader, SpeechModel
from granite_mlx.cli.outputs import Job, formats_of, jobs_to_folder, jobs_to_stdout, make_folder
from granite_mlx.cli.screen import Screen
from granite_mlx.cli.signals import without_ctrl_c
from granite_mlx.cli.template import OutputName
from granite_mlx.decoding.languages import translation_pair
from granite_mlx.errors import AudioError
from granite_mlx.options import GUARD
from granite_mlx.transcript import FORMATS, Transcript

if TYPE_CHECKING:
    from granite_mlx.cli.sound_sources import Sound
    from granite_mlx.live.options import LiveOptions
    from granite_mlx.live.session import LiveSession

NAME = "listen"
SUMMARY = "write down what is said into the microphone, while it is said"
DESCRIPTION = """\
Write down what is said into the microphone, while it is said. On a terminal, what may still change
is shown faint; where stdout is a file or a pipe, only final lines are written. Ctrl-C ends it: what
was said so far is finished and kept. Needs the extra mic: pip install 'granite-mlx[mic]'."""
EXAMPLES = """\
examples:
  granite-mlx listen
  granite-mlx listen -k Kubernetes --to fr
  granite-mlx listen -o transcripts -f all
  granite-mlx listen -m demo --from-file call.wav --speed 4
  granite-mlx listen --list-devices
"""

POLL_S = 0.05


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of this command."""
    sound = parser.add_argument_group("sound")
    sound.add_argument(
        "--device", metavar="NAME", help="the microphone, a number of --list-devices or part of "
        "a name (default: the system's)",
    )  # fmt: skip
    sound.add_argument("--list-devices", action="store_true", help="list microphones, and end")
    sound.add_argument(
        "--from-file",
        metavar="FILE",
        help="play a recording in place of the microphone, or - for one on stdin",
    )
    sound.add_argument(
        "--speed",
        metavar="N",
        type=speed,
        default=1.0,
        help="play it N times as fast as it was recorded (default: 1)",
    )
    add_model_arguments(parser.add_argument_group("model"))
    speech = parser.add_argument_group("speech")
    speech.add_argument(
        "--to",
        metavar="LANG",
        type=target,
        help="translate to this language, a code or an English name; drafts stay in the spoken one",
    )
    add_spoken_arguments(speech)
    speech.add_argument(
        "--guard",
        choices=GUARD,
        default=GUARD[0],
        help="off: what the decoder writes, whatever the encoder has heard (default: on)",
    )
    add_output_arguments(parser.add_argument_group("output"))
    add_subtitle_arguments(parser.add_argument_group("subtitles (srt and vtt)"))


def run(arguments: argparse.Namespace, screen: Screen, load: ModelLoader) -> int:
    """Listen until the sound ends or Ctrl-C. -> exit code.

    Raises:
        UsageError: arguments that do not make sense; nothing was loaded or written.
    """
    if arguments.list_devices:
        from granite_mlx.cli.sound_sources import microphones

        screen.result("".join(f"{line}\n" for line in microphones()))
        return Exit.COMPLETE
    if arguments.to is not None:
        translation_pair(arguments.language, arguments.to)  # raises before a model is loaded
    _check_sound(arguments)
    given = read_keywords(arguments.keyword) + read_keywords(arguments.keywords_file)
    check_boost(arguments.keyword_boost, bool(given.terms))
    job = _job(arguments, screen)
    with contextlib.closing(_sound(arguments)) as sound:
        try:
            model = load_model(arguments, load, screen)
        except Exception as error:
            raise NoModelError from error
        options: LiveOptions = {
            "sample_rate": sound.rate,
            "to": arguments.to,
            "language": arguments.language,
            "keywords": given.entries() or None,
            "keyword_boost": arguments.keyword_boost,
            "punctuate": arguments.punctuate,
            "guard": arguments.guard,
        }
        with contextlib.closing(model):
            return _listen(model, options, sound, job, _live_text(arguments, job), screen)


def _listen(
    model: SpeechModel,
    options: LiveOptions,
    sound: Sound,
    job: Job | None,
    text: LiveText,
    screen: Screen,
) -> int:
    with contextlib.ExitStack() as at_end:
        session = at_end.enter_context(model.live(**options))
        screen.note("Listening; Ctrl-C ends it.")
        try:
            code = _hear(session, sound, text, screen)
            transcript = session.finish()
        except BaseException as error:  # a second Ctrl-C, a model that fails, stdout that is closed
            at_end.enter_context(without_ctrl_c())
            transcript = session.kept()
            if not transcript.segments:
                raise
            code = _early(error, session, text, screen)
        _deliver(transcript, sound, job, screen)
    if code == Exit.INTERRUPTED:
        screen.error("interrupted; what was said so far is kept.")
    elif text.has_failures:
        code = Exit.PARTIAL
    if code == Exit.PARTIAL and not transcript.segments:
        return Exit.NOTHING_DONE
    return code


def _deliver(transcript: Transcript, sound: Sound, job: Job | None, screen: Screen) -> None:
    for warning in transcript.warnings:
        screen.warning(f"{sound.name}: {warning_text(warning)}")
    if sound.trouble is not None:
        screen.warning(f"{sound.name}: {sound.trouble}")
    if job is not None:
        job.deliver(transcript)


def _hear(session: LiveSession, sound: Sound, text: LiveText, screen: Screen) -> Exit:
    """Until the sound ends or Ctrl-C. -> how that was."""
    try:
        for chunk in sound.chunks():
            if chunk is not None:
                session.feed(chunk)
            text.show(session.ready())
        _finish(session, text)
    except KeyboardInterrupt:
        sound.close()
        _finish(session, text)
        return Exit.INTERRUPTED
    except AudioError as error:  # a damaged file, a microphone that was pulled out
        screen.failure(error, sound.name)
        _finish(session, text)
        return Exit.PARTIAL
    return Exit.COMPLETE


def _early(error: BaseException, session: LiveSession, text: LiveText, screen: Screen) -> Exit:
    """It ended before the last text was there. -> how that was."""
    match error:
        case BrokenPipeError():
            return Exit.READER_GONE
        case KeyboardInterrupt():
            text.show(session.ready())
            text.end()
            return Exit.INTERRUPTED
        case Exception():
            screen.failure(error)
            return Exit.PARTIAL
        case _:
            raise error


def _finish(session: LiveSession, text: LiveText) -> None:
    """No more sound: show the last text as it comes."""
    session.end()
    while not session.is_over:
        text.show(session.ready())
        time.sleep(POLL_S)
    text.show(session.ready())
    text.end()


def _check_sound(arguments: argparse.Namespace) -> None:
    if arguments.from_file is None:
        if arguments.speed != 1.0:
            raise UsageError("--speed is for --from-file; a microphone has its own.")
    elif arguments.device is not None:
        raise UsageError("--device names a microphone and --from-file a recording; give one.")


def _sound(arguments: argparse.Namespace) -> Sound:
    """Opened before the model is loaded: what is wrong with it is told at once."""
    from granite_mlx.cli.sound_sources import Microphone, Player

    if arguments.from_file is None:
        return Microphone(arguments.device)
    recording = Recording(arguments.from_file)
    if recording.path is not None and recording.path.is_dir():
        raise UsageError(f"{recording.shown_name} is a folder; name a recording in it.")
    try:
        return Player(recording.audio(), recording.shown_name, arguments.speed)
    except AudioError as error:
        message = str(error)
        is_named = message.startswith(recording.shown_name)
        raise UsageError(message if is_named else f"{recording.shown_name}: {message}") from error


def _job(arguments: argparse.Namespace, screen: Screen) -> Job | None:
    """Where the transcript goes; None where its lines on stdout are all that is wanted."""
    subtitles = subtitle_options(arguments)
    name = arguments.from_file or f"live-{datetime.now():%Y-%m-%d-%H%M%S}"
    recording = Recording(name)
    if arguments.output_dir is None:
        if arguments.output_format == FORMATS[0]:
            return None
        (job,) = jobs_to_stdout([recording], arguments.output_format, screen, subtitles)
        return job
    make_folder(arguments.output_dir)
    language = arguments.to or arguments.language
    output = OutputName(recording, None, formats_of(arguments.output_format), language)
    given = [arguments.keywords_file, arguments.from_file and Path(arguments.from_file)]
    (job,) = jobs_to_folder(
        [output], arguments.output_dir, screen, subtitles,
        protected=[path for path in given if path], records=Records(),
    )  # fmt: skip
    return job


def _live_text(arguments: argparse.Namespace, job: Job | None) -> LiveText:
    """On stdout, unless that is kept for the whole transcript."""
    is_kept = job is not None and arguments.output_dir is None
    return LiveText(sys.stderr if is_kept else sys.stdout, lines_anyway=not is_kept)
