"""The harness's end of a contender's program: start it, ask it, end it."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import subprocess
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.contenders.known import Contender
from benchmarks.contenders.protocol import OPTIONS_VARIABLE, Answer, Request

ROOT = Path(__file__).resolve().parent.parent
START_LIMIT_S = 120.0
END_LIMIT_S = 10.0

OFFLINE = {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}


class ContenderError(Exception):
    """A contender could not do what it was asked; the message says why."""


class WorkerProcess:
    """One contender's living program."""

    def __init__(self, contender: Contender, log: Path) -> None:
        self.contender, self.loaded = contender, False
        self._log_path = log
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("ab") as stderr:
            try:
                self._process = subprocess.Popen(
                    [contender.python, "-m", f"benchmarks.contenders.{contender.worker}"],
                    bufsize=0,
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=stderr,
                    cwd=ROOT,
                    env=environment(contender, os.environ),
                    start_new_session=True,  # a Ctrl-C is for the harness, which then ends it
                )
            except OSError as error:
                raise ContenderError(f"{contender.name} cannot be started: {error}") from error
        self._lines: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        threading.Thread(target=self._read, daemon=True).start()
        hello = self._receive(START_LIMIT_S)
        self.versions: dict[str, str] = hello["versions"]
        self.kinds: list[str] = hello["kinds"]

    @property
    def process_id(self) -> int:
        """Of the program."""
        return self._process.pid

    @property
    def has_ended(self) -> bool:
        """Whether its process is gone."""
        return self._process.poll() is not None

    @property
    def holds_weights(self) -> bool:
        """Whether ending it would free much memory."""
        return self.contender.large and self.loaded

    def load(self, model: str, dtype: str, limit_s: float) -> Answer:
        """Have it load a model. Raises ContenderError."""
        answer = self._ask({"do": "load", "model": model, "dtype": dtype}, limit_s)
        self.loaded = True
        return answer

    def measure(self, kind: str, request: Request, limit_s: float) -> Answer:
        """Have it measure one thing. Raises ContenderError."""
        asked = {**vars(request), "audio": str(request.audio), "do": kind}
        return self._ask(asked, limit_s)

    def end(self) -> None:
        """Let it go; one that does not go is killed. What it started goes with it."""
        self.loaded = False
        with contextlib.suppress(OSError):
            self._stdin.close()
        try:
            self._process.wait(END_LIMIT_S)
        except subprocess.TimeoutExpired:
            self.kill()

    def kill(self) -> None:
        """End it now, whatever it does."""
        self.loaded = False
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, 9)  # its own session, so no one else's
        self._process.wait()
        with contextlib.suppress(OSError):
            self._stdin.close()

    @property
    def _stdin(self) -> Any:
        assert self._process.stdin is not None
        return self._process.stdin

    def _ask(self, message: Mapping[str, Any], limit_s: float) -> Answer:
        try:
            self._stdin.write(json.dumps(message).encode() + b"\n")
            self._stdin.flush()
        except OSError as error:
            raise ContenderError(self._obituary()) from error
        reply = self._receive(limit_s)
        if "error" in reply:
            raise ContenderError(f"{self.contender.name}: {reply['error']}")
        return Answer(reply["values"], reply.get("text"))

    def _receive(self, limit_s: float) -> dict[str, Any]:
        try:
            line = self._lines.get(timeout=limit_s)
        except queue.Empty:
            self.kill()
            raise ContenderError(
                f"{self.contender.name} did not answer within {limit_s:.0f} s; see {self._log_path}"
            ) from None
        if not line:
            raise ContenderError(self._obituary())
        reply: dict[str, Any] = json.loads(line)
        return reply

    def _read(self) -> None:
        """On a thread of its own, so that waiting can have a limit."""
        assert self._process.stdout is not None
        with self._process.stdout as stdout:
            for line in stdout:
                self._lines.put(line)
        self._lines.put(b"")

    def _obituary(self) -> str:
        self.kill()
        code = self._process.returncode
        lines = self._log_path.read_text(encoding="utf-8", errors="replace").split("\n")
        said = " / ".join(line.strip() for line in lines if line.strip())[-300:]
        ended = f"was ended by signal {-code}" if code < 0 else f"ended with code {code}"
        return f"{self.contender.name} {ended}: {said or 'it said nothing'}"


def environment(contender: Contender, given: Mapping[str, str]) -> dict[str, str]:
    """The harness's own, offline, with the contender's settings; other packages stay away."""
    kept = {key: value for key, value in given.items() if key != "PYTHONPATH"}
    return kept | OFFLINE | contender.environment | {
        OPTIONS_VARIABLE: json.dumps(dict(contender.options))
    }  # fmt: skip
