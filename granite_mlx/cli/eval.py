"""`granite-mlx eval SOURCE -o DIR`"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from granite_mlx.cli.arguments import batch_size, boost, count, seed, spoken, target
from granite_mlx.cli.eval_session import Session, Setup
from granite_mlx.cli.exits import Exit
from granite_mlx.cli.failures import UsageError
from granite_mlx.cli.model import ModelLoader
from granite_mlx.cli.screen import Screen, shown
from granite_mlx.decoding.speculative import SPECULATIVE, Speculative
from granite_mlx.evaluate.normalising import NORMALIZERS
from granite_mlx.options import GUARD

if TYPE_CHECKING:
    from granite_mlx.evaluate.rows import Source

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
        "--keyword-boost", metavar="NATS", type=boost, default=0.0, help="as in transcribe"
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
        "--samples", metavar="N", type=count, help="draws of the bootstrap (default: 1000)"
    )
    group.add_argument("--seed", metavar="N", type=seed, help="of the bootstrap")


def run(arguments: argparse.Namespace, screen: Screen, load: ModelLoader) -> int:
    """Check everything, ask every model about every row, then score. -> exit code.

    Raises:
        UsageError: a model is named twice.
        EvaluationError: a source, a run to compare with, or the folder cannot be used.
    """
    from granite_mlx.cli.eval_results import deliver
    from granite_mlx.evaluate.journal import Journal
    from granite_mlx.evaluate.normalising import tokens_with
    from granite_mlx.evaluate.others import read_other_runs
    from granite_mlx.evaluate.translations import check_sacrebleu

    # 1. Everything that can be wrong before any work.
    setups = setups_of(arguments)
    tokens = tokens_with(arguments.normalizer)
    source = _source(arguments, screen)
    is_told = not arguments.without_keywords and any(row.keywords for row in source.rows)
    if arguments.keyword_boost and not is_told:
        raise UsageError("--keyword-boost has no keywords to raise; leave it out.")
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
        deliver(arguments, screen, source, journal, setups, others, tokens)
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
    # The way drafts are used is part of the name where it is not the usual one alone.
    names_use = tuple(uses) != SPECULATIVE[:1]
    return [
        Setup(model, use, f"{model or default}, drafts {use}" if names_use else model or default)
        for model in models
        for use in uses
    ]


def settings_of(
    arguments: argparse.Namespace, source: Source, setups: Sequence[Setup]
) -> dict[str, Any]:
    """What must be the same for an evaluation to go on: all that the answers depend on."""
    return {
        # The same file by another path is the same; so is a data set by its name.
        "source": os.path.realpath(source.name) if os.path.exists(source.name) else source.name,
        "rows": {"n": len(source.rows), "digest": source.digest},
        "model": [setup.name for setup in setups],
        "revision": arguments.revision,
        "dtype": arguments.dtype,
        "guard": arguments.guard,
        "punctuate": arguments.punctuate,
        "without-keywords": arguments.without_keywords,
        "keyword-boost": arguments.keyword_boost,
        "batch-size": arguments.batch_size,
    }


def _source(arguments: argparse.Namespace, screen: Screen) -> Source:
    from granite_mlx.evaluate.rows import Defaults
    from granite_mlx.evaluate.sources import read_source

    screen.progress(f"Reading {shown(arguments.source)}")
    if arguments.quiet or not sys.stderr.isatty():
        # Nobody watches the bars that datasets draws; it reads this when it is imported.
        os.environ.setdefault("HF_DATASETS_DISABLE_PROGRESS_BARS", "1")
    source = read_source(
        arguments.source,
        Defaults(arguments.language, arguments.to, arguments.skip_empty, arguments.limit),
    )
    for note in source.notes:
        screen.warning(note)
    return source
