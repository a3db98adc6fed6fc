"""The commands and their arguments as one parser, whose errors are one line."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import NoReturn

from granite_mlx import __version__
from granite_mlx.cli import (
    ask,
    bench,
    convert,
    corpus,
    doctor,
    eval,
    listen,
    serve,
    transcribe,
    translate,
)
from granite_mlx.cli.failures import UsageError

COMMANDS = (transcribe, translate, listen, serve, ask, corpus, convert, eval, bench, doctor)


class Parser(argparse.ArgumentParser):
    """Raises a sentence with a hint where argparse would print its usage and exit."""

    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message.rstrip('.')} (try: {self.prog} --help)")


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    """The arguments of one command, with the function to `run`.

    Raises:
        UsageError: arguments that do not make sense.
        SystemExit: --help or --version has been printed.
    """
    arguments, unknown = build_parser().parse_known_args(argv)
    if "files" in arguments:
        # argparse takes one run of FILEs only: those behind a later option come back as unknown.
        names, unknown = _names(unknown)
        arguments.files += names
    if unknown:
        arguments.parser.error(f"unrecognized arguments: {' '.join(unknown)}")
    return arguments


def _names(arguments: list[str]) -> tuple[list[str], list[str]]:
    """All arguments as names, and none left; or no names if an option is among them."""
    at = arguments.index("--") if "--" in arguments else len(arguments)
    before, behind = arguments[:at], arguments[at + 1 :]
    if any(argument.startswith("-") and argument != "-" for argument in before):
        return [], arguments
    return before + behind, []


def build_parser() -> Parser:
    """The parser of all commands, each described by its module."""
    parser = Parser(
        prog="granite-mlx",
        description="IBM's Granite Speech on Apple Silicon: transcribe and translate recordings.",
        epilog="granite-mlx COMMAND --help explains a command's arguments.",
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"granite-mlx {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for command in COMMANDS:
        added = commands.add_parser(
            command.NAME,
            help=command.SUMMARY,
            description=command.DESCRIPTION,
            epilog=command.EXAMPLES,
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )
        added.set_defaults(run=command.run, parser=added, quiet=False)
        command.add_arguments(added)
        added.add_argument("--debug", action="store_true", help="show the traceback of errors")
    return parser
