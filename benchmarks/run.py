"""Ours and every installed peer side by side on this machine: JSON, a table and plots.

    python -m benchmarks.run [--quick | --full] [--out DIR] [--model full-size | demo | FOLDER ...]
                             [--contender NAME ...] [--peers FILE] [--runs N] [--dtype TYPE]
                             [--repeat-busy]

Each contender runs in a process, and a peer in an environment, of its own, and they are measured in
turn. `--quick` begins nothing after 14 minutes, `--full` after 57. What is done is kept, also after
a Ctrl-C: the same command goes on where it was. Exits with 1 if something failed or was left out.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

from benchmarks.contenders.known import LIMITS, Contender, PeersError, built_in, chosen, configured
from benchmarks.journal import Journal, model_facts
from benchmarks.models import FULL_SIZE, Model, model_of, usual_dtype
from benchmarks.plots import NoMatplotlibError, plot
from benchmarks.report import content, document
from benchmarks.schedule import FULL, QUICK, Settings
from benchmarks.session import Outcome, Session
from benchmarks.summary import rows
from benchmarks.worker_process import ROOT
from granite_mlx.bench.machine import this_machine
from granite_mlx.bench.wav import example_speech, write_wav
from granite_mlx.cli.arguments import count
from granite_mlx.cli.signals import run_interruptibly
from granite_mlx.errors import GraniteError
from granite_mlx.model.checkpoint import DEMO
from granite_mlx.model.config import SpeechConfig, parse_config
from granite_mlx.model.folder import read_config

JOURNAL, JSON, TABLE = "measurements.jsonl", "results.json", "results.md"
COMPLETE, PARTIAL, NOTHING_DONE, INTERRUPTED = 0, 1, 2, 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and write. -> exit code."""
    args = parser().parse_args(arguments)
    settings = settings_of(args)
    try:
        peers = configured(args.peers) if args.peers else []
        contenders = chosen([*built_in(ROOT), *peers], args.contender)
        models = [model_of(name, args.dtype or usual_dtype()) for name in args.model]
    except (PeersError, GraniteError, OSError) as error:
        tell(f"benchmarks.run: {error}")
        return NOTHING_DONE
    given = sys.argv[1:] if arguments is None else arguments
    run = Run(settings, args.out, ["python", "-m", "benchmarks.run", *given], args.repeat_busy)
    try:
        for model in models:
            run.measure(model, contenders)
    except KeyboardInterrupt:
        run.write()
        tell("interrupted; the same command goes on from here.")
        return INTERRUPTED
    run.write()
    return PARTIAL if run.is_partial else COMPLETE


class Run:
    """Models one after the other within one budget, and what is written about them."""

    def __init__(
        self, settings: Settings, out: Path, command: Sequence[str], repeat_busy: bool
    ) -> None:
        self._settings, self._out, self._command = settings, out, command
        self._repeat_busy = repeat_busy
        self._machine = this_machine()
        self._journal = Journal(out / JOURNAL)
        self._deadline_s = time.monotonic() + settings.budget_s
        self._outcomes: list[tuple[Outcome, SpeechConfig]] = []

    def measure(self, model: Model, contenders: Sequence[Contender]) -> None:
        """All that is not in the journal yet. What is done counts, whatever ends this."""
        session = Session(
            contenders=taking_part(contenders, model),
            model=model,
            settings=self._settings,
            journal=self._journal,
            out=self._out,
            audio=lambda seconds: recording(self._out, seconds),
            facts={"machine": asdict(self._machine), "files": model_facts(model.folder)},
            deadline_s=self._deadline_s,
            tell=tell,
            repeat_busy=self._repeat_busy,
        )
        tell(f"{model.name}, {model.dtype}: {', '.join(c.name for c in session.contenders)}")
        try:
            session.run()
        finally:
            config = parse_config(read_config(model.folder))
            self._outcomes.append((session.outcome(), config))

    @property
    def is_partial(self) -> bool:
        """Whether anything failed or was left out."""
        return any(outcome.failures or outcome.left_out for outcome, _ in self._outcomes)

    def write(self) -> None:
        """JSON, table and plots; the table also to stdout."""
        found = content(self._machine, self._settings, self._outcomes, self._command)
        as_json = json.dumps(found, indent=1, ensure_ascii=False) + "\n"
        (self._out / JSON).write_text(as_json, encoding="utf-8")
        text = document(self._machine, self._settings, self._outcomes)
        (self._out / TABLE).write_text(text, encoding="utf-8")
        print(text)
        write_plots(self._outcomes, self._out)


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = argparse.ArgumentParser(
        prog="python -m benchmarks.run",
        description="Measure granite-mlx and its peers side by side.",
    )
    size = made.add_mutually_exclusive_group()
    size.add_argument("--quick", action="store_true", help="at most 15 minutes (the default)")
    size.add_argument("--full", action="store_true", help="at most an hour")
    made.add_argument("--out", type=Path, default=Path("bench-results"), metavar="DIR")
    made.add_argument(
        "--model", nargs="+", default=[DEMO, FULL_SIZE], metavar="MODEL",
        help="full-size (random weights), demo, or a folder (default: demo full-size)",
    )  # fmt: skip
    made.add_argument("--contender", action="append", metavar="NAME", help="only these")
    made.add_argument("--peers", type=Path, metavar="FILE", help="more of them, in TOML")
    made.add_argument("--runs", type=count, metavar="N", help="runs of each measurement")
    made.add_argument("--seconds", nargs="+", type=length, metavar="S", help="lengths of audio")
    made.add_argument("--tokens", type=count, metavar="N", help="tokens of the decoding stage")
    made.add_argument("--minutes", type=length, metavar="M", help="begin nothing after these")
    made.add_argument(
        "--repeat-busy", action="store_true",
        help="measure again what was measured while others took over 15 %% of the cores",
    )  # fmt: skip
    made.add_argument("--dtype", choices=["float32", "float16", "bfloat16"])
    return made


def length(text: str) -> float:
    """A number above 0."""
    value = float(text)
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text} is not above 0")
    return value


def settings_of(args: argparse.Namespace) -> Settings:
    """A preset, and what was asked for in its place."""
    preset = FULL if args.full else QUICK
    return replace(
        preset,
        seconds=tuple(sorted(set(args.seconds))) if args.seconds else preset.seconds,
        n_runs=args.runs or preset.n_runs,
        n_tokens=args.tokens or preset.n_tokens,
        budget_s=args.minutes * 60 if args.minutes else preset.budget_s,
    )


def taking_part(contenders: Sequence[Contender], model: Model) -> list[Contender]:
    """Who runs this model, and the machine's limits."""
    return [LIMITS, *(c for c in contenders if c.model(model.name, str(model.folder)) is not None)]


def recording(out: Path, seconds: float) -> Path:
    """A WAV file of so many seconds, the same for everybody."""
    path = (out / "audio" / f"{seconds:g}.wav").resolve()
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        write_wav(path, example_speech(seconds))
    return path


def write_plots(outcomes: Sequence[tuple[Outcome, SpeechConfig]], out: Path) -> None:
    """A PNG for each model; one sentence where there can be none."""
    for outcome, config in outcomes:
        names = [name for name in outcome.versions if name != LIMITS.name]
        model = outcome.model
        figures = list(rows(outcome.records, names, config, model.dtype)) if outcome.records else []
        if not figures:
            continue
        try:
            name = Path(model.name).name
            plot(figures, names, f"{name}, {model.dtype}", out / f"{name}.png")
        except NoMatplotlibError as error:
            tell(str(error))
            return


def tell(message: str) -> None:
    """Progress."""
    print(message, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(run_interruptibly(main))
