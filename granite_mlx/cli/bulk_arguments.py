"""The arguments for many recordings, and what must hold between them."""

from __future__ import annotations

import argparse
import hashlib
import json
from pathlib import Path
from typing import Any

from granite_mlx.cli.arguments import count
from granite_mlx.cli.failures import UsageError
from granite_mlx.cli.model import RecognitionOptions
from granite_mlx.cli.template import FIELDS

ELSEWHERE = frozenset(
    "files recursive skip_existing manifest batch_size output_dir output_format output_template "
    "quiet debug keyword keywords_file start end run parser".split()
)
"""Arguments that say which recordings and where to, or that are among the recognition options."""

DIGEST_CHARACTERS = 16


def add_bulk_arguments(parser: argparse.ArgumentParser) -> argparse._ArgumentGroup:
    """Everything from --recursive to --manifest. -> the group, for a command's own."""
    group = parser.add_argument_group("many files")
    group.add_argument(
        "-r",
        "--recursive",
        action="store_true",
        help="take the recordings in a folder FILE and those below it; hidden ones, and folders "
        "behind links, are passed over. -o keeps the folders",
    )
    group.add_argument(
        "--output-template",
        metavar="NAME",
        help="name outputs below DIR so: {stem}.{language}.{ext}. The fields are "
        f"{', '.join(f'{{{name}}}' for name in FIELDS)}",
    )
    group.add_argument(
        "--skip-existing",
        action="store_true",
        help="leave out recordings of which all outputs are there",
    )
    group.add_argument(
        "--manifest",
        metavar="FILE",
        type=Path,
        help="add a line of JSON for each recording, done or failed; those that the file tells "
        "are done with the same options are left out",
    )
    return group


def add_batch_size(group: argparse._ArgumentGroup) -> None:
    """--batch-size, of the command that can do several recordings at once."""
    group.add_argument(
        "--batch-size",
        metavar="N",
        type=count,
        default=1,
        help="listen to N recordings at once, which takes less time and more memory; their "
        "outputs come together (default: 1)",
    )


def check_bulk_arguments(arguments: argparse.Namespace) -> None:
    """See that the arguments fit each other.

    Raises:
        UsageError: they do not.
    """
    if arguments.output_dir is None:
        for name in ("output_template", "skip_existing"):
            if getattr(arguments, name):
                raise UsageError(
                    f"--{name.replace('_', '-')} is about output files and needs -o DIR."
                )
    has_range = arguments.start > 0 or arguments.end is not None
    if has_range and getattr(arguments, "batch_size", 1) > 1:
        raise UsageError("--batch-size takes whole recordings: leave it out, or --start and --end.")


def options_digest(arguments: argparse.Namespace, options: RecognitionOptions) -> str:
    """The same for two runs that ask the same of the same model, whatever the recordings.

    Options that are left at their defaults do not count, so that a new option changes nothing.
    """
    parser: argparse.ArgumentParser = arguments.parser
    asked: dict[str, Any] = {
        name: value
        for name, value in vars(arguments).items()
        if name not in ELSEWHERE and value != parser.get_default(name)
    }
    told = {name: value for name, value in options.items() if value != parser.get_default(name)}
    text = json.dumps([parser.prog, asked, told], sort_keys=True, default=str)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:DIGEST_CHARACTERS]
