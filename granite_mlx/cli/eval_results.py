"""What an evaluation leaves: the files of DIR and the table on stdout."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from granite_mlx.cli.eval_session import Setup
from granite_mlx.cli.plan_table import aligned
from granite_mlx.cli.screen import Screen, shown
from granite_mlx.evaluate.answers import Answer
from granite_mlx.evaluate.bootstrap import Resampling
from granite_mlx.evaluate.identity import circumstances
from granite_mlx.evaluate.journal import Journal, write_whole
from granite_mlx.evaluate.layout import difference_lines, table
from granite_mlx.evaluate.normalising import Tokens
from granite_mlx.evaluate.others import Run, notes_on
from granite_mlx.evaluate.report import REPORT, report
from granite_mlx.evaluate.rows import Source
from granite_mlx.evaluate.scored import ScoredRun, score_run, scored_record
from granite_mlx.evaluate.summary import SUMMARY, summarise


def deliver(
    arguments: argparse.Namespace,
    screen: Screen,
    source: Source,
    journal: Journal,
    setups: Sequence[Setup],
    others: Sequence[Run],
    tokens: Tokens,
) -> None:
    """Score all runs, write the files of DIR, and print the table."""

    screen.progress("Scoring")
    own = [Run(setup.name, _answers_of(journal, setup)) for setup in setups]
    compared = named_apart(own, others)
    scored = [score_run(run, source.rows, tokens) for run in [*own, *compared]]
    notes = [note for run in compared for note in notes_on(run, source.rows)]
    journal.finish(_records(journal, source, scored[: len(own)]))
    scored = [run for run in scored if run.scored]
    facts = _facts(arguments, source, journal) | {"notes": notes}
    summary = summarise(scored, _resampling(arguments), facts)
    data = json.dumps(summary, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
    folder = arguments.output_dir
    write_whole(folder / SUMMARY, data.encode("utf-8", "backslashreplace"))
    page = report(summary, scored)
    write_whole(folder / REPORT, page.encode("utf-8", "backslashreplace"))
    lines = [*_lines(table(summary)), *_lines(difference_lines(summary), before="")]
    for note in notes:
        screen.warning(note)
    screen.result("".join(f"{line}\n" for line in [*lines, "", shown(str(folder / REPORT))]))


def named_apart(own: Sequence[Run], others: Sequence[Run]) -> list[Run]:
    """The runs that are compared with, a number behind those that share a name."""
    names = {run.name for run in own}
    apart = []
    for run in others:
        name, n = run.name, 1
        while name in names:
            n += 1
            name = f"{run.name} ({n})"
        names.add(name)
        apart.append(replace(run, name=name))
    return apart


def _lines(rows: Sequence[Sequence[str]], before: str | None = None) -> list[str]:
    if not rows:
        return []
    lines = list(aligned([tuple(shown(cell) for cell in row) for row in rows]))
    return lines if before is None else [before, *lines]


def _resampling(arguments: argparse.Namespace) -> Resampling:
    given = {"n_samples": arguments.samples, "seed": arguments.seed}
    return Resampling(**{name: value for name, value in given.items() if value is not None})


def _answers_of(journal: Journal, setup: Setup) -> Mapping[str, Answer]:
    return {row_id: one for (run, row_id), one in journal.answers.items() if run == setup.name}


def _records(
    journal: Journal, source: Source, runs: Sequence[ScoredRun]
) -> Iterator[Mapping[str, Any]]:
    """The lines of utterances.jsonl: of each model in turn, failures too."""
    for run in runs:
        scores = {one.row.id: one for one in run.scored}
        for row in source.rows:
            answer = journal.answers.get((run.name, row.id))
            if answer is not None:
                yield scored_record(row, answer, scores.get(row.id))


def _facts(arguments: argparse.Namespace, source: Source, journal: Journal) -> dict[str, Any]:
    """What somebody needs to repeat this."""
    return {
        "source": {"name": source.name, "n_rows": len(source.rows), "digest": source.digest},
        "scoring": {"normalizer": arguments.normalizer},
        "settings": {
            name: (str(value) if isinstance(value, Path) else value)
            for name, value in vars(arguments).items()
            if name not in ("run", "parser", "quiet", "debug", "compare")
        }
        | {"compare": [str(path) for path in arguments.compare]},
        "command": ["granite-mlx", *sys.argv[1:]],
        "models": journal.models,
        "finished": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        **circumstances(),
    }
