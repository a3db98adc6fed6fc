"""The arguments for many recordings, and what must hold between them."""

from __future__ import annotations

import argparse
import hashlib
import json
from pathlib import Path
from typing import Any

from granite_mlx.cli.failures import UsageError
from granite_mlx.cli.model import RecognitionOptions
from granite_mlx.cli.template import FIELDS

ELSEWHERE = frozenset(
    "files recursive skip_existing manifest batch_size output_dir output_format output_template "
    "quiet debug keyword keywords_file start end channels ranges run parser".split()
)
"""Arguments that say which recordings and where to, or that are among the recognition options."""

DIGEST_CHARACTERS = 16


def add_bulk_arguments(parser: argparse.ArgumentParser) -> None:
    """Everything from --recursive to --manifest."""
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
    told = {
        name: value
        for name, value in options.items()
        if name not in ("batch_size", "ranges") and value != parser.get_default(name)
    }
    if options["ranges"]:
        told["ranges"] = options["ranges"]
    text = json.dumps([parser.prog, asked, told], sort_keys=True, default=str)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:DIGEST_CHARACTERS]
