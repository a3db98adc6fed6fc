"""The command line with a scripted model, in this process and in one of its own."""

import contextlib
import importlib.util
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from granite_mlx.cli import main

FAKE_SPEECH = Path(__file__).with_name("fake_speech.py")
ENOUGH_S = 60  # for a process to answer on a busy machine; nothing waits that long if all is well


@dataclass(frozen=True)
class Ran:
    """What a command left behind."""

    code: int
    out: str
    err: str


@pytest.fixture
def model() -> Any:
    """A fresh FakeSpeech; see fake_speech.py for its scripts."""
    spec = importlib.util.spec_from_file_location("fake_speech", FAKE_SPEECH)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.FakeSpeech()


@pytest.fixture
def run(model: Any, capsys: pytest.CaptureFixture[str]) -> Callable[..., Ran]:
    """Run `granite-mlx ARGUMENTS` in this process with the scripted model."""

    def run(*arguments: str | Path) -> Ran:
        code = main([str(argument) for argument in arguments], load=model.load)
        captured = capsys.readouterr()
        return Ran(code, captured.out, captured.err)

    return run


@pytest.fixture
def recording(tmp_path: Path) -> Callable[..., Path]:
    """Write a scripted recording and return its path."""

    def recording(name: str, script: str = "words") -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(script, encoding="utf-8")
        return path

    return recording


@pytest.fixture
def start() -> Callable[..., contextlib.AbstractContextManager[subprocess.Popen[bytes]]]:
    """Start `granite-mlx ARGUMENTS` in a process of its own, which ends with the test."""

    @contextlib.contextmanager
    def start(
        *arguments: str | Path,
        real: bool = False,
        env: Mapping[str, str] | None = None,
        **options: Any,
    ) -> Iterator[subprocess.Popen[bytes]]:
        environment = {**os.environ, **(env or {})}
        environment.pop("PYTHONUNBUFFERED", None)  # users have buffers
        program = ["-m", "granite_mlx"] if real else [str(FAKE_SPEECH)]
        pipes: dict[str, Any] = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
        command = [sys.executable, *program, *map(str, arguments)]
        with subprocess.Popen(command, env=environment, **pipes | options) as process:
            try:
                yield process
            finally:
                process.kill()

    return start


@pytest.fixture
def finish(start: Callable[..., Any]) -> Callable[..., Ran]:
    """Run `granite-mlx ARGUMENTS` in its own process to its end."""

    def finish(*arguments: str | Path, stdin: bytes = b"", **options: Any) -> Ran:
        with start(*arguments, **options) as process:
            out, err = process.communicate(stdin, timeout=ENOUGH_S)
        return Ran(process.returncode, (out or b"").decode(), (err or b"").decode())

    return finish
