"""`granite-mlx bench`: a table of how fast this machine is, to paste into a report."""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, cast

from granite_mlx.cli.arguments import count
from granite_mlx.cli.exits import Exit
from granite_mlx.cli.failures import UsageError
from granite_mlx.cli.listener import download_progress
from granite_mlx.cli.model import ModelLoader
from granite_mlx.cli.screen import Screen, shown

if TYPE_CHECKING:
    from granite_mlx.bench.machine import Machine
    from granite_mlx.bench.short import Figures
    from granite_mlx.speech import GraniteSpeech

NAME = "bench"
SUMMARY = "measure how fast models are on this machine, as a table to paste"
DESCRIPTION = """\
Measure models on recordings that come with granite-mlx, repeated or cut to the lengths asked for.
RTFx is seconds of audio transcribed in a second, tokens/s the decoder without drafts, and peak
memory what MLX held. Nothing else should be at work meanwhile."""
EXAMPLES = """\
examples:
  granite-mlx bench
  granite-mlx bench -m ibm-granite/granite-4.0-1b-speech -m ibm-granite/granite-4.0-1b-speech:q8
  granite-mlx bench -m demo --seconds 5 10 30 --runs 5 --json figures.json
"""

MODELS = ("demo",)
SECONDS = (10.0, 30.0)
N_RUNS = 3
PACKAGES = ("granite-mlx", "mlx", "mlx-metal", "mlx-cpu", "mlx-cuda-12", "mlx-cuda-13")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of this command."""
    parser.add_argument(
        "-m",
        "--model",
        action="append",
        help="a Hugging Face id, a folder, or demo, each with :RECIPE behind it if wanted; may be "
        "repeated (default: demo)",
    )
    parser.add_argument(
        "--seconds", nargs="+", type=length, default=SECONDS, metavar="S",
        help="lengths of audio (default: 10 30)",
    )  # fmt: skip
    parser.add_argument(
        "--runs", type=count, default=N_RUNS, metavar="N", help="of each, after a warm-up "
        "(default: %(default)s)",
    )  # fmt: skip
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures here, too")
    parser.add_argument("--quiet", action="store_true", help="show no progress")


def length(text: str) -> float:
    """A finite number of seconds in which a word can be said."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 1.0 <= value < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds of 1 or more")
    return value


def run(arguments: argparse.Namespace, screen: Screen, load: ModelLoader) -> int:
    """Measure, a line of the table as soon as it is known. -> exit code.

    Raises:
        UsageError: the figures could not be written where they are wanted.
    """
    if arguments.json is not None:
        check_destination(arguments.json)
    models: Sequence[str] = arguments.model or MODELS
    report = Report(screen, arguments.json, arguments.runs)
    try:
        n_failed = sum(not _measured(model, arguments, screen, load, report) for model in models)
    finally:
        report.write()
    if not n_failed:
        return Exit.COMPLETE
    return Exit.PARTIAL if report.figures else Exit.NOTHING_DONE


def _measured(
    model: str, arguments: argparse.Namespace, screen: Screen, load: ModelLoader, report: Report
) -> bool:
    """Whether a model was measured at every length; if not, that was told."""
    name = shown(model)
    try:
        speech, load_s = _loaded(model, screen, load)
        try:
            return _measure_lengths(name, speech, load_s, arguments, screen, report)
        finally:
            speech.close()
    except BrokenPipeError:
        raise
    except Exception as error:
        screen.failure(error, name)
        return False


def _loaded(model: str, screen: Screen, load: ModelLoader) -> tuple[GraniteSpeech, float]:
    from granite_mlx.bench.short import timed_load

    def load_it() -> GraniteSpeech:
        screen.progress(f"Loading {shown(model)}")
        on_progress = download_progress(screen, shown(model))
        speech = load(model, revision=None, dtype=None, on_progress=on_progress)
        # The other commands need less of a model than its stages.
        return cast("GraniteSpeech", speech)

    return timed_load(load_it)


def _measure_lengths(
    name: str,
    speech: GraniteSpeech,
    load_s: float,
    arguments: argparse.Namespace,
    screen: Screen,
    report: Report,
) -> bool:
    """Whether the model hears all of them."""
    from granite_mlx.bench.short import measure

    heard = [seconds for seconds in arguments.seconds if seconds <= speech.max_duration_s]

    def on_step(step: str) -> None:
        screen.progress(f"{name}: {step}")

    for figures in measure(speech, load_s, heard, arguments.runs, on_step):
        report.add(figures)
    if too_long := [f"{s:g}" for s in arguments.seconds if s not in heard]:
        screen.error(
            f"{name}: it hears at most {speech.max_duration_s:.0f} s, not {' or '.join(too_long)}."
        )
    return not too_long


class Report:
    """The table on stdout, line by line, and the file at the end, if one is wanted."""

    def __init__(self, screen: Screen, path: Path | None, n_runs: int) -> None:
        self.figures: list[Figures] = []
        self._screen, self._path, self._n_runs = screen, path, n_runs

    def add(self, figures: Figures) -> None:
        """Print a line, the first one with what belongs above it."""
        from granite_mlx.bench.short import HEAD, facts, row

        if not self.figures:
            about = facts(*self._about(), self._n_runs)
            self._screen.result(f"{about}\n\n{HEAD}\n")
        self.figures.append(figures)
        self._screen.result(row(figures) + "\n")

    def write(self) -> None:
        """What there is, to the file."""
        if self._path is None or not self.figures:
            return
        machine, versions, blas = self._about()
        content = {
            "machine": asdict(machine),
            "versions": versions,
            "blas": blas,
            "runs": self._n_runs,
            "figures": [asdict(figures) | {"rtfx": figures.rtfx} for figures in self.figures],
        }
        self._path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")

    def _about(self) -> tuple[Machine, dict[str, str], str]:
        """The BLAS is told where the CPU computes."""
        import mlx.core as mx

        from granite_mlx.bench.machine import installed, loaded_blas, this_machine

        on_cpu = mx.default_device() == mx.Device(mx.cpu)
        return this_machine(), installed(PACKAGES), loaded_blas() if on_cpu else ""


def check_destination(path: Path) -> None:
    """That a file can be made there, before anything takes long."""
    if path.is_dir() or not path.parent.is_dir():
        raise UsageError(f"--json: {shown(str(path))} is no file in a folder that is there.")
