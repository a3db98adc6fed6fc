"""`granite-mlx doctor`: what this machine offers, and whether the model computes rightly on it."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from granite_mlx.cli.exits import Exit
from granite_mlx.cli.failures import NoModelError
from granite_mlx.cli.model import ModelLoader
from granite_mlx.cli.screen import Screen, one_line

if TYPE_CHECKING:
    from granite_mlx.doctor import Check

NAME = "doctor"
SUMMARY = "show the machine and the versions, and check the computation on it"
DESCRIPTION = "Show the machine and the versions, and check the computation on it."
EXAMPLES = """\
examples:
  granite-mlx doctor
  granite-mlx doctor --selftest
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of this command."""
    parser.add_argument(
        "--selftest",
        action="store_true",
        help="compare every stage with stored values in float32, float16 and bfloat16",
    )
    parser.add_argument("-m", "--model", help="load this model too and show what it is")


def run(arguments: argparse.Namespace, screen: Screen, load: ModelLoader) -> int:
    """Print what was asked for. -> exit code."""
    from granite_mlx.doctor import selftest, system_report

    show_report(screen, system_report())
    if arguments.model is not None:
        show_report(screen, model_report(arguments.model, load))
    return show_selftest(screen, selftest) if arguments.selftest else Exit.COMPLETE


def model_report(model: str, load: ModelLoader) -> dict[str, str]:
    """What a model says of itself once it is loaded.

    Raises:
        NoModelError: it cannot be loaded.
    """
    try:
        loaded = load(model, revision=None, dtype=None, on_progress=None)
    except Exception as error:
        raise NoModelError from error
    try:
        return {
            "model": loaded.model_id,
            "dtype": loaded.dtype,
            "heard at once": f"{loaded.max_duration_s:g} s",
        }
    finally:
        loaded.close()


def show_report(screen: Screen, report: Mapping[str, str]) -> None:
    """One aligned line for each entry."""
    width = max(map(len, report), default=0)
    screen.result("".join(f"{name:<{width}}  {value}\n" for name, value in report.items()))


def show_selftest(
    screen: Screen, selftest: Callable[[Callable[[Check], None]], list[Check]]
) -> int:
    """One line for each check as it is done. -> 0, or 1 if one failed or none was made."""
    checks = selftest(lambda check: screen.result(check_line(check) + "\n"))
    n_failed = sum(not check.passed for check in checks)
    screen.result(f"{len(checks) - n_failed} of {len(checks)} checks passed\n")
    return Exit.COMPLETE if checks and not n_failed else Exit.PARTIAL


def check_line(check: Check) -> str:
    """Verdict, name, dtype, difference and limit in columns."""
    verdict = "ok  " if check.passed else "FAIL"
    line = (
        f"{verdict}  {check.name:<24}  {check.dtype:<8}  "
        f"difference {check.difference:<9.3g}  limit {check.limit:<9.3g}  {one_line(check.detail)}"
    )
    return line.rstrip()
