"""Any command line: a process for each recording, from its start to its end.

Options: `command`, a list of words in which {audio} and {model} stand for the file and the model,
{python} for the harness's interpreter and {out} for a file that may be made; `environment`, a table
of variables; `text_file`, where the text then is, if not on stdout; `version`, since a command that
has changed is another one.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.contenders.protocol import Answer, Request, options, serve

LAST_WORDS = 300


class Worker:
    """Starts the command; knows the model that was named last."""

    def __init__(self, settings: dict[str, Any]) -> None:
        self._command: Sequence[str] = settings["command"]
        self._text_file: str | None = settings.get("text_file")
        self._environment = {**os.environ, **settings.get("environment", {})}
        self._model = ""

    def load(self, model: str, dtype: str) -> Answer:
        """Nothing is loaded before the command runs."""
        self._model = model
        return Answer({})

    def end_to_end(self, request: Request) -> Answer:
        """Run it once.

        Raises:
            RuntimeError: it ended with another code than 0; with the end of its stderr.
        """
        with tempfile.TemporaryDirectory() as folder:
            return self._run(request, str(Path(folder) / "out"))

    def _run(self, request: Request, out_path: str) -> Answer:
        places = {
            "audio": str(request.audio), "model": self._model, "python": sys.executable,
            "out": out_path,
        }  # fmt: skip
        command = [filled(word, places) for word in self._command]
        start_s = time.perf_counter()
        pipe = subprocess.PIPE
        with subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=pipe, stderr=pipe, env=self._environment
        ) as process:
            out, err = process.communicate()
        total_s = time.perf_counter() - start_s
        if process.returncode != 0:
            said = err.decode(errors="replace").strip()[-LAST_WORDS:]
            raise RuntimeError(f"{command[0]} ended with code {process.returncode}: {said}")
        text = out.decode(errors="replace")
        if self._text_file is not None:
            text = Path(filled(self._text_file, places)).read_text(encoding="utf-8")
        return Answer({"total_s": total_s}, text.strip())


def filled(word: str, places: dict[str, str]) -> str:
    """A word with what stands for its places; other braces are left alone."""
    for name, value in places.items():
        word = word.replace("{" + name + "}", value)
    return word


def main() -> None:
    """Answer the harness. The memory of a command is not known."""
    settings = options()
    worker = Worker(settings)
    versions = {"command": " ".join(settings["command"])}
    if "version" in settings:
        versions["version"] = str(settings["version"])
    serve(versions, worker.load, {"end_to_end": worker.end_to_end}, lambda work: work())


if __name__ == "__main__":
    main()
