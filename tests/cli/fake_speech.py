"""A stand-in for GraniteSpeech that reads a script instead of listening.

A "recording" is a text file. Its text is what the fake hears, unless it begins with a command:

    !audio MESSAGE, !language MESSAGE, !checkpoint MESSAGE, !value MESSAGE   raise that error
    !bug                    raise ZeroDivisionError
    !interrupt              raise KeyboardInterrupt
    !warn MESSAGE           hear "words" and warn about them
    !until FILE             hear "words" once FILE exists
    !listening FILE         make FILE and listen until interrupted

`python fake_speech.py ARGUMENTS` is `granite-mlx ARGUMENTS` with this model.
"""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, BinaryIO

from granite_mlx.cli import main
from granite_mlx.errors import AudioError, CheckpointError, GraniteError, LanguageError
from granite_mlx.transcript import KeywordReport, Segment, Transcript, TranscriptWarning

PATIENCE_S = 30

ERRORS: dict[str, Callable[[str], Exception]] = {
    "!audio": AudioError,
    "!language": LanguageError,
    "!checkpoint": CheckpointError,
    "!value": ValueError,
}


class FakeSpeech:
    """Has the methods of GraniteSpeech that the command line uses, and keeps their arguments."""

    model_id = "fake"
    dtype = "float32"
    max_duration_s = 360.0

    def __init__(self) -> None:
        self.calls: list[dict[str, Any]] = []
        self.batches: list[list[str]] = []
        self.loaded: list[dict[str, Any]] = []
        self.closed = 0

    def load(self, model: str | None, **options: Any) -> FakeSpeech:
        """What `granite_mlx.load` is to the real one."""
        on_progress = options.pop("on_progress")
        self.loaded.append({"model": model, **options})
        if model == "missing":
            raise CheckpointError("there is no model called missing.")
        if on_progress is not None:
            on_progress(1_000_000_000, 4_000_000_000)
            on_progress(4_000_000_000, 4_000_000_000)
        return self

    def transcribe(self, audio: str | BinaryIO, **options: Any) -> Transcript:
        return self._hear("transcribe", audio, options)

    def translate(self, audio: str | BinaryIO, *, to: str, **options: Any) -> Transcript:
        return self._hear("translate", audio, options | {"to": to})

    def transcribe_batch(
        self, audio: Sequence[str | BinaryIO], **options: Any
    ) -> list[Transcript | Exception]:
        self.batches.append([str(one) for one in audio])
        on_result, results = options.pop("on_result"), []
        for place, one in enumerate(audio):
            results.append(self._hear_or_fail(one, dict(options)))
            on_result(place, results[-1])
        return results

    def close(self) -> None:
        self.closed += 1

    def _hear_or_fail(self, audio: str | BinaryIO, options: dict[str, Any]) -> Any:
        try:
            return self._hear("transcribe", audio, options)
        except (GraniteError, TypeError, ValueError) as error:
            return error

    def _hear(self, task: Any, audio: str | BinaryIO, options: dict[str, Any]) -> Transcript:
        options.pop("on_progress")(0.5)
        self.calls.append({"task": task, "audio": audio, **options})
        script = Path(audio).read_bytes() if isinstance(audio, str) else audio.read()
        text, warnings = _follow(script.decode())
        return Transcript(
            segments=(Segment(0.0, 1.5, text),) if text else (),
            language=options["language"],
            target_language=options.get("to"),
            task=task,
            duration_s=1.5,
            model=self.model_id,
            warnings=warnings,
            keywords=tuple(
                KeywordReport(term, offered=True, found=term in text)
                for term in options["keywords"] or ()
            ),
        )


def _follow(script: str) -> tuple[str, tuple[TranscriptWarning, ...]]:
    command, _, rest = script.partition(" ")
    match command:
        case "!audio" | "!language" | "!checkpoint" | "!value":
            raise ERRORS[command](rest)
        case "!bug":
            raise ZeroDivisionError("division\nby zero")
        case "!interrupt":
            raise KeyboardInterrupt
        case "!warn":
            return "words", (TranscriptWarning("fake", rest, 0.5, 1.0),)
        case "!until":
            _wait_until(Path(rest).exists)
            return "words", ()
        case "!listening":
            Path(rest).touch()
            _wait_until(lambda: False)
            return "words", ()
        case _:
            return script, ()


def _wait_until(reached: Callable[[], bool]) -> None:
    """Give up some time, so that a test that waits for this one fails and does not hang."""
    deadline = time.monotonic() + PATIENCE_S
    while not reached():
        if time.monotonic() > deadline:
            raise TimeoutError(f"nothing happened in {PATIENCE_S} s")
        time.sleep(0.01)


if __name__ == "__main__":
    # A test that runs in the background may have been told to ignore Ctrl-C, and passes it on.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    sys.exit(main(load=FakeSpeech().load))
