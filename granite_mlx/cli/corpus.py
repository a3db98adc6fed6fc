"""`granite-mlx corpus SRC... -o DIR`"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from granite_mlx.cli.arguments import add_listening_arguments, count, recognition_options
from granite_mlx.cli.exits import Exit
from granite_mlx.cli.failures import UsageError
from granite_mlx.cli.model import ModelLoader, RecognitionOptions
from granite_mlx.cli.screen import Screen, shown
from granite_mlx.cli.transcribe import Asked, add_transcript_arguments, asked_of, transcribers

if TYPE_CHECKING:
    from granite_mlx.cli.corpus_worker import WorkerMaker
    from granite_mlx.corpus.cluster import Engine

    Start = Callable[
        [WorkerMaker, int | None, str | None, Path], AbstractContextManager[tuple[Engine, int]]
    ]

NAME = "corpus"
SUMMARY = "write down archives with several workers or machines, each recording once"
DESCRIPTION = """\
Write down what is said in many recordings, with a model in each of several workers on one machine
or on a Ray cluster. SRC is a recording, a folder of them with --recursive, or a manifest: .jsonl,
.csv or .tsv with audio, and if wanted id, language and keywords, as eval reads it; or one that
transcribe --manifest has written. DIR gets shards with a row for each recording, and failed.jsonl
with those that could not be done, and why. The same command goes on where it was stopped."""
EXAMPLES = """\
examples:
  granite-mlx corpus -r archive -o results
  granite-mlx corpus talks.jsonl -o results --workers 2 --shard-format parquet
  granite-mlx corpus -r archive -o results --address 192.168.1.10:6379
  granite-mlx corpus -r archive -o part1 --part 1/2
  granite-mlx corpus --merge part1 part2 -o results
"""

SHARD_FORMATS = ("jsonl", "parquet")
SHARD_FILES = 1000


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of this command."""
    parser.add_argument(
        "files", metavar="SRC", nargs="+", help="a recording, a folder, or a manifest"
    )
    parser.add_argument(
        "-o", "--output-dir", metavar="DIR", type=Path, required=True, help="the folder of results"
    )
    parser.add_argument(
        "-r",
        "--recursive",
        action="store_true",
        help="take the recordings in a folder SRC and those below it",
    )
    parser.add_argument("--quiet", action="store_true", help="show errors only")
    work = parser.add_argument_group("workers")
    work.add_argument(
        "--workers",
        metavar="N",
        type=count,
        help="models that work at once, each in a process of its own (default: 1, or with "
        "--address one for each machine)",
    )
    work.add_argument(
        "--address",
        metavar="HOST:PORT",
        help="join the Ray cluster there (default: start Ray on this machine, for this run)",
    )
    work.add_argument(
        "--part",
        metavar="K/N",
        type=part,
        help="do the K-th of N parts only; which recordings that are depends on their contents "
        "alone, so that machines that know nothing of each other share the work",
    )
    work.add_argument(
        "--merge",
        action="store_true",
        help="SRC are DIRs of earlier runs: write what they hold into the new folder -o",
    )
    shards = parser.add_argument_group("results")
    shards.add_argument(
        "--shard-format",
        choices=SHARD_FORMATS,
        default=SHARD_FORMATS[0],
        help="the files of results (default: jsonl)",
    )
    shards.add_argument(
        "--shard-files",
        metavar="N",
        type=count,
        default=SHARD_FILES,
        help=f"rows of a file of results (default: {SHARD_FILES})",
    )
    add_listening_arguments(parser)
    add_transcript_arguments(parser)


def part(text: str) -> tuple[int, int]:
    """ "1/2" -> (1, 2)."""
    k, slash, n = text.partition("/")
    if not (slash and k.isdecimal() and n.isdecimal() and 1 <= int(k) <= int(n)):
        raise argparse.ArgumentTypeError(f"{text} is not K/N, as 1/2, with K from 1 to N")
    return int(k), int(n)


def run(
    arguments: argparse.Namespace, screen: Screen, load: ModelLoader, start: Start | None = None
) -> int:
    """Transcribe an archive, or merge what was made of its parts. -> exit code.

    `start` starts the workers; Ray's unless it is given.

    Raises:
        UsageError: arguments that do not make sense.
        CorpusError: a manifest, a folder or a cluster that cannot be used.
    """
    if arguments.merge:
        return _merge(arguments, screen)
    from granite_mlx.cli.corpus_run import Run
    from granite_mlx.cli.corpus_worker import WorkerMaker
    from granite_mlx.corpus.cluster import cluster
    from granite_mlx.corpus.store import Store

    options, asked = recognition_options(arguments), asked_of(arguments)
    loading = partial(
        load,
        arguments.model,
        revision=arguments.revision,
        dtype=arguments.dtype,
        on_progress=None,
    )
    maker = WorkerMaker(loading, transcribers(asked), options)
    settings = settings_of(arguments, options, asked)
    with Store(
        arguments.output_dir, settings, arguments.shard_format, arguments.shard_files
    ) as store:
        return Run(arguments, screen, store, maker, start or cluster).run()


def settings_of(
    arguments: argparse.Namespace, options: RecognitionOptions, asked: Asked
) -> dict[str, Any]:
    """What the results of one folder have in common: all that they depend on."""
    import dataclasses
    import json
    import os

    from granite_mlx.model.checkpoint import DEFAULT_MODEL, MODEL_VARIABLE

    told = {name: value for name, value in options.items() if name != "batch_size"}
    settings = {
        "model": arguments.model or os.environ.get(MODEL_VARIABLE) or DEFAULT_MODEL,
        "revision": arguments.revision,
        "dtype": arguments.dtype,
        **told,
        **dataclasses.asdict(asked),
    }
    plain: dict[str, Any] = json.loads(json.dumps(settings, default=repr))
    return plain


def _merge(arguments: argparse.Namespace, screen: Screen) -> int:
    from granite_mlx.corpus.merging import merge

    if arguments.part is not None or arguments.address is not None:
        raise UsageError("--merge only writes files; leave --part and --address out.")
    folders = [Path(name) for name in dict.fromkeys(arguments.files)]
    n_rows, n_failed = merge(
        folders, arguments.output_dir, arguments.shard_format, arguments.shard_files
    )
    screen.announce(
        f"{n_rows} rows of {len(folders)} folders -> {shown(str(arguments.output_dir))}"
    )
    if n_failed:
        screen.error(f"{n_failed} files failed and are told in failed.jsonl.")
    return Exit.PARTIAL if n_failed else Exit.COMPLETE
