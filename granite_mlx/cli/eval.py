"""`granite-mlx eval SOURCE -o DIR`"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from granite_mlx.cli.arguments import batch_size, count, seed, spoken, target
from granite_mlx.cli.exits import Exit
from granite_mlx.cli.failures import NoModelError, UsageError, explain
from granite_mlx.cli.listener import download_progress
from granite_mlx.cli.model import ModelLoader, SpeechModel
from granite_mlx.cli.plan_table import aligned
from granite_mlx.cli.screen import Screen, one_line, shown
from granite_mlx.cli.times import clock
from granite_mlx.decoding.speculative import SPECULATIVE, Speculative
from granite_mlx.evaluate.normalising import NORMALIZERS
from granite_mlx.options import GUARD

if TYPE_CHECKING:
    from granite_mlx.evaluate.answers import Answer
    from granite_mlx.evaluate.bootstrap import Resampling
    from granite_mlx.evaluate.journal import Journal
    from granite_mlx.evaluate.normalising import Tokens
    from granite_mlx.evaluate.others import Run
    from granite_mlx.evaluate.rows import Row, Source

NAME = "eval"
SUMMARY = "measure how accurate and how fast models are on recordings with known texts"
DESCRIPTION = """\
Transcribe the recordings of SOURCE and compare with what is said in them: word and character error
rates, BLEU and chrF of translations, keywords found, speed and memory. SOURCE is a manifest
(.jsonl, .csv or .tsv with audio, text, and if wanted id, language, target, target_language,
keywords), a folder (LibriSpeech's layout, or NAME.txt beside NAME.wav), or a Hugging Face data
set, NAME[:CONFIG[:SPLIT]]. DIR gets summary.json, utterances.jsonl and report.html. The same
command goes on where it was stopped."""
EXAMPLES = """\
examples:
  granite-mlx eval talks.jsonl -o talks-eval
  granite-mlx eval LibriSpeech/test-clean -o clean -m demo -m demo:q8
  granite-mlx eval hf-audio/esb-datasets-test-only-sorted:ami:test -o ami --skip-empty
  granite-mlx eval talks.jsonl -o both --speculative exact --speculative off
  granite-mlx eval talks.jsonl -o talks-eval --compare earlier-eval peer.jsonl
"""

N_SAMPLES = 1000


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of this command."""
    parser.add_argument("source", metavar="SOURCE", help="a manifest, a folder, or a data set")
    parser.add_argument(
        "-o", "--output-dir", metavar="DIR", type=Path, required=True, help="the folder of results"
    )
    _add_run_arguments(parser.add_argument_group("what is measured"))
    _add_row_arguments(parser.add_argument_group("rows"))
    _add_scoring_arguments(parser.add_argument_group("scores"))
    parser.add_argument("--quiet", action="store_true", help="show errors and results only")


def _add_run_arguments(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "-m",
        "--model",
        action="append",
        help="a Hugging Face id, a folder, or demo, each with :RECIPE behind it if wanted; repeat "
        "it to compare models with the first one (default: $GRANITE_MLX_MODEL, or "
        "ibm-granite/granite-4.0-1b-speech)",
    )
    group.add_argument("--revision", help="a branch, tag or commit of the Hugging Face ids")
    group.add_argument(
        "--dtype",
        choices=["float32", "float16", "bfloat16"],
        help="the precision to compute in (default: the checkpoint's)",
    )
    group.add_argument(
        "--speculative",
        action="append",
        choices=SPECULATIVE,
        help="how drafts are used, as in transcribe; repeat it to compare (default: exact)",
    )
    group.add_argument("--guard", choices=GUARD, default=GUARD[0], help="as in transcribe")
    group.add_argument(
        "--punctuate", action="store_true", help="ask for punctuation and capital letters"
    )
    group.add_argument(
        "--without-keywords",
        action="store_true",
        help="do not tell the model a row's keywords; they are scored all the same",
    )
    group.add_argument(
        "--batch-size",
        metavar="N",
        type=batch_size,
        default=1,
        help="transcribe up to N recordings at once: sooner done, but no latency is known "
        "(default: 1)",
    )
    group.add_argument(
        "--compare",
        metavar="PATH",
        type=Path,
        nargs="+",
        action="extend",
        default=[],
        help="the DIR of an earlier eval, or a .jsonl with id (or audio) and hypothesis, which any "
        "program may have written",
    )


def _add_row_arguments(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--language",
        metavar="LANG",
        type=spoken,
        help="what is spoken in rows that do not say, a code or an English name",
    )
    group.add_argument(
        "--to", metavar="LANG", type=target, help="the language of targets that do not say"
    )
    group.add_argument("--limit", metavar="N", type=count, help="the first N rows only")
    group.add_argument(
        "--skip-empty",
        action="store_true",
        help="leave out rows without a word to score, as the Open ASR leaderboard does; otherwise "
        "all that is written there counts as inserted",
    )


def _add_scoring_arguments(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--normalizer",
        choices=NORMALIZERS,
        default=NORMALIZERS[0],
        help="whisper: the Open ASR leaderboard's rules, for English and for other languages; "
        "basic: lower case, no punctuation; none: texts as they are (default: whisper). A run that "
        "is complete is scored anew at once",
    )
    group.add_argument(
        "--samples", metavar="N", type=count, default=N_SAMPLES, help="draws of the bootstrap "
        "(default: %(default)s)",
    )  # fmt: skip
    group.add_argument("--seed", metavar="N", type=seed, help="of the bootstrap")


@dataclass(frozen=True)
class Setup:
    """A model and the way its drafts are used; `name` tells it from the others of a command."""

    model: str | None
    speculative: Speculative
    name: str


def run(arguments: argparse.Namespace, screen: Screen, load: ModelLoader) -> int:
    """Check everything, ask every model about every row, then score. -> exit code.

    Raises:
        UsageError: a model is named twice.
        EvaluationError: a source, a run to compare with, or the folder cannot be used.
    """
    from granite_mlx.evaluate.journal import Journal
    from granite_mlx.evaluate.normalising import tokens_with
    from granite_mlx.evaluate.others import read_other_runs
    from granite_mlx.evaluate.translations import check_sacrebleu

    # 1. Everything that can be wrong before any work.
    setups = setups_of(arguments)
    tokens = tokens_with(arguments.normalizer)
    source = _source(arguments, screen)
    if any(row.target is not None for row in source.rows):
        check_sacrebleu()
    others = [run for path in arguments.compare for run in read_other_runs(path, source.rows)]

    # 2. Each model and each row that has no answer yet.
    with Journal(arguments.output_dir, settings_of(arguments, source, setups)) as journal:
        session = Session(arguments, screen, load, source, journal)
        try:
            n_unasked = sum(not session.ask(setup) for setup in setups)
        except KeyboardInterrupt:
            screen.error(
                f"interrupted; {session.n_done(setups)} of {len(source.rows) * len(setups)} "
                "utterances are done. The same command goes on from there."
            )
            return Exit.INTERRUPTED

        # 3. Figures, files, table.
        if not session.n_done(setups):
            screen.error(f"no utterance of {shown(source.name)} could be evaluated.")
            return Exit.NOTHING_DONE
        _deliver(arguments, screen, source, journal, setups, others, tokens)
        n_failed = session.n_failed(setups)
    if n_failed:
        screen.error(f"{n_failed} utterances failed; the same command tries them again.")
    return Exit.PARTIAL if n_failed or n_unasked else Exit.COMPLETE


def setups_of(arguments: argparse.Namespace) -> list[Setup]:
    """Every model with every use of drafts.

    Raises:
        UsageError: one is named twice.
    """
    from granite_mlx.model.checkpoint import DEFAULT_MODEL, MODEL_VARIABLE

    default = os.environ.get(MODEL_VARIABLE) or DEFAULT_MODEL
    models: Sequence[str | None] = arguments.model or [None]
    uses: Sequence[Speculative] = arguments.speculative or SPECULATIVE[:1]
    for option, values in (("-m", models), ("--speculative", uses)):
        if len(set(values)) < len(values):
            raise UsageError(f"{option}: the same is given twice; give each once.")
    return [
        Setup(model, use, f"{model or default}, drafts {use}" if use != SPECULATIVE[0] or
              len(uses) > 1 else model or default)
        for model in models
        for use in uses
    ]  # fmt: skip


def settings_of(
    arguments: argparse.Namespace, source: Source, setups: Sequence[Setup]
) -> dict[str, Any]:
    """What must be the same for an evaluation to go on: all that the answers depend on."""
    return {
        "source": source.name,
        "rows": {"n": len(source.rows), "digest": source.digest},
        "model": [setup.name for setup in setups],
        "revision": arguments.revision,
        "dtype": arguments.dtype,
        "guard": arguments.guard,
        "punctuate": arguments.punctuate,
        "without-keywords": arguments.without_keywords,
        "batch-size": arguments.batch_size,
    }


def _source(arguments: argparse.Namespace, screen: Screen) -> Source:
    from granite_mlx.evaluate.rows import Defaults
    from granite_mlx.evaluate.sources import read_source

    screen.progress(f"Reading {shown(arguments.source)}")
    source = read_source(
        arguments.source,
        Defaults(arguments.language, arguments.to, arguments.skip_empty, arguments.limit),
    )
    for note in source.notes:
        screen.warning(note)
    return source


class Session:
    """The models of a command, one after the other, and what became of the rows."""

    def __init__(
        self,
        arguments: argparse.Namespace,
        screen: Screen,
        load: ModelLoader,
        source: Source,
        journal: Journal,
    ) -> None:
        self._arguments = arguments
        self._screen = screen
        self._load = load
        self._source = source
        self._journal = journal

    def ask(self, setup: Setup) -> bool:
        """Whether a model was asked about all rows; if not, it was told why."""
        left = [row for row in self._source.rows if not self._is_done(setup, row)]
        if not left:
            return True
        if len(left) < len(self._source.rows):
            n_done = len(self._source.rows) - len(left)
            self._screen.note(f"{setup.name}: {n_done} utterances are done already.")
        try:
            model = self._loaded(setup)
        except NoModelError as error:
            self._screen.failure(error, shown(setup.name))
            return False
        try:
            return self._ask_all(setup, model, left)
        finally:
            model.close()

    def n_done(self, setups: Sequence[Setup]) -> int:
        """Answers, of all models."""
        return sum(self._is_done(setup, row) for setup in setups for row in self._source.rows)

    def n_failed(self, setups: Sequence[Setup]) -> int:
        """Rows that a model was asked about in vain."""
        answers = self._journal.answers
        keys = [(setup.name, row.id) for setup in setups for row in self._source.rows]
        return sum(key in answers and not answers[key].is_done for key in keys)

    def _is_done(self, setup: Setup, row: Row) -> bool:
        answer = self._journal.answers.get((setup.name, row.id))
        return answer is not None and answer.is_done

    def _loaded(self, setup: Setup) -> SpeechModel:
        from granite_mlx.evaluate.identity import weights_identity

        name = shown(setup.name)
        self._screen.progress(f"Loading {name}")
        try:
            model = self._load(
                setup.model,
                revision=self._arguments.revision,
                dtype=self._arguments.dtype,
                on_progress=download_progress(self._screen, name),
            )
        except Exception as error:
            raise NoModelError from error
        identity = weights_identity(setup.model, self._arguments.revision)
        self._journal.note_model(setup.name, {**identity, "dtype": model.dtype})
        return model

    def _ask_all(self, setup: Setup, model: SpeechModel, rows: Sequence[Row]) -> bool:
        import mlx.core as mx

        from granite_mlx.cli.asker import Asked, ModelAsker
        from granite_mlx.evaluate.running import Runner

        arguments = self._arguments
        asked = Asked(
            setup.speculative, arguments.guard, arguments.punctuate,
            not arguments.without_keywords, arguments.batch_size,
        )  # fmt: skip
        pace = Pace(setup.name, len(rows), self._screen)
        asker = ModelAsker(model, asked, pace.show)
        mx.reset_peak_memory()
        runner = Runner(setup.name, asker, time.perf_counter, mx.get_peak_memory, _sentence)

        def settle(row: Row, answer: Answer) -> None:
            self._journal.add(row, answer)
            if answer.error is not None:
                self._screen.error(f"{shown(setup.name)}: {shown(row.id)}: {answer.error}")
            pace.count(answer.duration_s or 0.0)

        if not runner.ask(rows, arguments.batch_size, settle):
            self._screen.error(f"{shown(setup.name)}: none of the first went well; stopped.")
            return False
        return True


class Pace:
    """The line of progress: how many utterances are done, how fast, and how long the rest takes."""

    def __init__(self, name: str, n_rows: int, screen: Screen) -> None:
        self._name, self._n_rows, self._screen = name, n_rows, screen
        self._n_done = 0
        self._audio_s = 0.0
        self._since_s = time.monotonic()

    def count(self, audio_s: float) -> None:
        """One more is done."""
        self._n_done += 1
        self._audio_s += audio_s
        self.show(0.0)

    def show(self, fraction: float) -> None:
        """`fraction` of the one at hand is done."""
        elapsed_s = time.monotonic() - self._since_s
        figures = [f"{self._n_done} of {self._n_rows}"]
        if self._n_done:
            done = self._n_done + fraction
            left_s = max(0.0, elapsed_s / done * (self._n_rows - done))
            figures.append(f"{clock(left_s)} left")
        if self._audio_s and elapsed_s:
            figures.append(f"RTFx {self._audio_s / elapsed_s:.1f}")
        self._screen.progress(f"{', '.join(figures)}: {self._name}")


def _sentence(error: Exception) -> str:
    return one_line(explain(error))


def _deliver(
    arguments: argparse.Namespace,
    screen: Screen,
    source: Source,
    journal: Journal,
    setups: Sequence[Setup],
    others: Sequence[Run],
    tokens: Tokens,
) -> None:
    """Score all runs, write the files of DIR, and print the table."""
    import json

    from granite_mlx.evaluate.journal import write_whole
    from granite_mlx.evaluate.layout import difference_lines, table
    from granite_mlx.evaluate.others import Run
    from granite_mlx.evaluate.report import REPORT, report
    from granite_mlx.evaluate.scored import score_run
    from granite_mlx.evaluate.summary import SUMMARY as SUMMARY_NAME
    from granite_mlx.evaluate.summary import summarise

    screen.progress("Scoring")
    own = [Run(setup.name, _answers_of(journal, setup)) for setup in setups]
    scored = [score_run(run, source.rows, tokens) for run in [*own, *named_apart(own, others)]]
    scored = [run for run in scored if run.scored]
    facts = _facts(arguments, source, journal)
    summary = summarise(scored, _resampling(arguments), facts)
    journal.finish(_records(journal, source, setups, tokens))
    data = json.dumps(summary, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
    folder = arguments.output_dir
    write_whole(folder / SUMMARY_NAME, data.encode("utf-8", "backslashreplace"))
    page = report(summary, scored)
    write_whole(folder / REPORT, page.encode("utf-8", "backslashreplace"))
    lines = [*_lines(table(summary)), *_lines(difference_lines(summary), before="")]
    screen.result("".join(f"{line}\n" for line in [*lines, "", shown(str(folder / REPORT))]))


def named_apart(own: Sequence[Run], others: Sequence[Run]) -> list[Run]:
    """The runs that are compared with, a number behind those that share a name."""
    from dataclasses import replace

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
    from granite_mlx.evaluate.bootstrap import SEED, Resampling

    return Resampling(arguments.samples, SEED if arguments.seed is None else arguments.seed)


def _answers_of(journal: Journal, setup: Setup) -> Mapping[str, Answer]:
    return {row_id: one for (run, row_id), one in journal.answers.items() if run == setup.name}


def _records(
    journal: Journal, source: Source, setups: Sequence[Setup], tokens: Tokens
) -> list[Mapping[str, Any]]:
    from granite_mlx.evaluate.scored import score_row, scored_record

    return [
        scored_record(row, answer, score_row(row, answer, tokens) if answer.is_done else None)
        for setup in setups
        for row in source.rows
        if (answer := journal.answers.get((setup.name, row.id))) is not None
    ]


def _facts(arguments: argparse.Namespace, source: Source, journal: Journal) -> dict[str, Any]:
    """What somebody needs to repeat this."""
    from granite_mlx.evaluate.identity import circumstances

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
