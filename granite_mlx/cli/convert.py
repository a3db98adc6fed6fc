"""`granite-mlx convert SRC DST`"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from granite_mlx.cli.exits import Exit
from granite_mlx.cli.failures import UsageError
from granite_mlx.cli.model import ModelLoader
from granite_mlx.cli.plan_table import gigabytes, plan_lines
from granite_mlx.cli.screen import Screen, shown
from granite_mlx.cli.verification_table import verification_lines

if TYPE_CHECKING:
    from granite_mlx.convert import Manifest, Recipe
    from granite_mlx.convert.conversion import Verifier

NAME = "convert"
SUMMARY = "make a smaller or another checkpoint of one, and measure what it costs"
DESCRIPTION = """\
Convert a checkpoint: quantise it by a recipe, change its type, or store it for another package.
DST is there whole at the end or not at all, and SRC stays as it is."""
EXAMPLES = """\
recipes:
  q8        everything at 8 bits: half the size, the same text
  q6        the decoder at 6 bits, the rest at 8
  q4        the decoder's layers at 4 bits, vocabulary and encoder at 8, the projector floating
  q4-small  the smallest that is of use: the decoder at 4 bits, the encoder at 6

examples:
  granite-mlx convert ibm-granite/granite-4.0-1b-speech granite-q4 --recipe q4
  granite-mlx convert demo demo-q8 -q --q-bits 8
  granite-mlx convert demo demo-q4 --recipe q4 --dry-run
"""

Q_MODES = ("affine", "mxfp4", "mxfp8", "nvfp4")
DTYPES = ("float32", "float16", "bfloat16")
COMPATIBLE = ("mlx-audio",)
"""The layouts of other packages."""

STAGES = {"download": "Downloading", "hash": "Reading", "write": "Converting"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of this command."""
    parser.add_argument("source", metavar="SRC", help="a Hugging Face id, a folder, or demo")
    parser.add_argument("destination", metavar="DST", help="the folder to make")
    _add_quantisation_arguments(parser.add_argument_group("what to make"))
    _add_verification_arguments(parser.add_argument_group("verification"))
    group = parser.add_argument_group("files")
    group.add_argument("--revision", help="a branch, tag or commit of the Hugging Face id")
    group.add_argument(
        "--dry-run",
        action="store_true",
        help="show what would become of each tensor, and the sizes; write nothing (but a model of "
        "the hub is downloaded for that, if it is not in the cache)",
    )
    group.add_argument(
        "--force",
        action="store_true",
        help="replace an earlier conversion at DST",
    )
    group.add_argument(
        "--upload-repo",
        metavar="ID",
        help="then upload DST to this repository of the Hugging Face hub",
    )
    group.add_argument("--quiet", action="store_true", help="show errors only")


def _add_quantisation_arguments(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--recipe", metavar="NAME|FILE", help="a recipe below, or a TOML file")
    group.add_argument(
        "-q", "--quantize", action="store_true", help="quantise every matrix in the same way:"
    )
    group.add_argument(
        "--q-mode", choices=Q_MODES, help="the format of the numbers (default: affine)"
    )
    group.add_argument(
        "--q-bits", metavar="N", type=int, help="bits of a number (default: the mode's, 4 or 8)"
    )
    group.add_argument(
        "--q-group-size",
        metavar="N",
        type=int,
        help="numbers that share a scale (default: the mode's, 64, 32 or 16)",
    )
    group.add_argument(
        "-d", "--dequantize", action="store_true", help="make a floating checkpoint of a quantised"
    )
    group.add_argument(
        "--dtype", choices=DTYPES, help="of all that is not quantised (default: that of SRC)"
    )
    group.add_argument(
        "--compat", choices=COMPATIBLE, help="store it so that this package loads it"
    )


def _add_verification_arguments(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--verify",
        action=argparse.BooleanOptionalAction,
        help="compare the result with SRC before it takes its place (default: if it is quantised)",
    )
    group.add_argument(
        "--accept-loss",
        action="store_true",
        help="keep a result that lost more than its recipe allows",
    )
    group.add_argument(
        "--verify-audio",
        metavar="DIR",
        type=Path,
        help="with these recordings, and with the text of NAME.txt beside NAME.wav, if it is there "
        "(default: a few that come with granite-mlx)",
    )


def run(arguments: argparse.Namespace, screen: Screen, load: ModelLoader) -> int:
    """Convert, or show what a conversion would do. -> exit code."""
    _check(arguments)
    recipe = _recipe(arguments)
    if arguments.dry_run:
        return _show_plan(arguments, recipe, screen)
    if arguments.upload_repo is not None:
        from granite_mlx.convert.upload import check_upload

        check_upload(arguments.upload_repo)
    manifest = _convert(arguments, recipe, screen)
    try:
        _report(arguments, manifest, screen)
    except BrokenPipeError:
        raise
    except OSError as error:  # stdout's disk is full; the result is in its place all the same
        screen.failure(error, "stdout")
        return Exit.PARTIAL
    return _upload(arguments, screen) if arguments.upload_repo is not None else Exit.COMPLETE


def _check(arguments: argparse.Namespace) -> None:
    """Refuse arguments that contradict each other or would do nothing."""
    details = {
        name: value
        for name, value in (
            ("--q-mode", arguments.q_mode),
            ("--q-bits", arguments.q_bits),
            ("--q-group-size", arguments.q_group_size),
        )
        if value is not None
    }
    if details and not arguments.quantize:
        raise UsageError(f"{min(details)} needs -q.")
    if details and arguments.recipe is not None:
        raise UsageError(f"a recipe decides by itself; leave out --recipe or {min(details)}.")
    if arguments.dequantize and (arguments.quantize or arguments.recipe is not None):
        raise UsageError("-d makes a floating checkpoint; leave out -q and --recipe.")
    if arguments.verify_audio is not None and arguments.verify is False:
        raise UsageError("--verify-audio is of no use with --no-verify.")
    if arguments.dry_run:
        _check_dry_run(arguments)
    if arguments.accept_loss and not _is_verified(arguments):
        raise UsageError(
            "--accept-loss is of no use without a comparison; leave it out, or let --verify make "
            "one."
        )


def _check_dry_run(arguments: argparse.Namespace) -> None:
    """A dry run makes nothing that could be replaced, compared or uploaded."""
    given = {
        "--force": arguments.force,
        "--accept-loss": arguments.accept_loss,
        "--verify": arguments.verify,
        "--verify-audio": arguments.verify_audio is not None,
        "--upload-repo": arguments.upload_repo is not None,
    }
    useless = [name for name, is_given in given.items() if is_given]
    if useless:
        raise UsageError(f"--dry-run makes no result; leave out {' and '.join(useless)}.")


def _is_verified(arguments: argparse.Namespace) -> bool:
    """Whether the result is to be compared with its source."""
    if arguments.verify is not None:
        return bool(arguments.verify)
    is_quantised = bool(arguments.quantize) or arguments.recipe is not None
    return is_quantised or arguments.verify_audio is not None


def _recipe(arguments: argparse.Namespace) -> Recipe | None:
    """What -q or --recipe asks for.

    Raises:
        ConversionError: there is no such recipe, or its file is wrong.
        ValueError: a combination of mode, bits and group size that MLX does not have.
    """
    if arguments.recipe is None and not arguments.quantize:
        return None
    from granite_mlx.convert.recipes import read_recipe, uniform
    from granite_mlx.model.quantisation import MODES, QuantFormat

    if arguments.recipe is not None:
        return read_recipe(arguments.recipe)
    mode = arguments.q_mode or "affine"
    bits = MODES[mode].bits if arguments.q_bits is None else arguments.q_bits
    size = MODES[mode].group_size if arguments.q_group_size is None else arguments.q_group_size
    return uniform(QuantFormat(bits=bits, group_size=size, mode=mode))


def _show_plan(arguments: argparse.Namespace, recipe: Recipe | None, screen: Screen) -> int:
    from granite_mlx.convert import prepare

    job = prepare(arguments.source, **_options(arguments, recipe, screen))
    screen.result("".join(f"{line}\n" for line in plan_lines(job.plan)))
    _warn_of_unused(job.plan.unused_patterns, screen)
    return Exit.COMPLETE


def _convert(arguments: argparse.Namespace, recipe: Recipe | None, screen: Screen) -> Manifest:
    from granite_mlx.convert import BeyondLimitsError, convert

    try:
        return convert(
            arguments.source,
            arguments.destination,
            force=arguments.force,
            accept_loss=arguments.accept_loss,
            verify=_verifier(arguments, screen) if _is_verified(arguments) else None,
            **_options(arguments, recipe, screen),
        )
    except BeyondLimitsError as error:
        _show_figures(error.verdict.figures, screen)
        raise


def _options(
    arguments: argparse.Namespace, recipe: Recipe | None, screen: Screen
) -> dict[str, Any]:
    """What a plan and a conversion are told alike."""
    options = {
        "recipe": recipe,
        "dtype": arguments.dtype,
        "dequantise": arguments.dequantize,
        "revision": arguments.revision,
        "on_progress": _progress(arguments, screen),
    }
    return options | ({"layout": arguments.compat} if arguments.compat is not None else {})


def _verifier(arguments: argparse.Namespace, screen: Screen) -> Verifier:
    """Compares the result with its source."""
    from granite_mlx.convert.recordings import read_recordings
    from granite_mlx.convert.verify import verifier

    folder = arguments.verify_audio
    return verifier(
        recordings=None if folder is None else read_recordings(folder),
        on_progress=lambda done, total: screen.progress(f"Verifying: {done} of {total}"),
    )


def _progress(arguments: argparse.Namespace, screen: Screen) -> Callable[[str, int, int], None]:
    name = shown(arguments.source)

    def show(stage: str, done_bytes: int, total_bytes: int) -> None:
        share = done_bytes / max(1, total_bytes)
        amount = f"{gigabytes(done_bytes)} of {gigabytes(total_bytes)}"
        screen.progress(f"{STAGES[stage]} {name}: {share:.0%} ({amount})")

    return show


def _report(arguments: argparse.Namespace, manifest: Manifest, screen: Screen) -> None:
    """What came of it, told once it is in its place: stdout may fail."""
    if manifest.verification is not None:
        _show_figures(manifest.verification, screen)
    share = manifest.n_bytes / max(1, manifest.source_bytes)
    size = f"{gigabytes(manifest.n_bytes)}, {share:.0%} of {gigabytes(manifest.source_bytes)}"
    screen.result(f"{shown(arguments.destination)}: {size}\n")
    for module, reason in manifest.kept_floating.items():
        screen.result(f"floating: {module}: {reason}\n")
    for sentence in (*manifest.warnings, *manifest.exceeded):
        screen.warning(sentence)
    _warn_of_unused(manifest.unused_patterns, screen)


def _show_figures(figures: Mapping[str, Any], screen: Screen) -> None:
    screen.result("".join(f"{line}\n" for line in verification_lines(figures)))


def _warn_of_unused(patterns: tuple[str, ...], screen: Screen) -> None:
    for pattern in patterns:
        screen.warning(f"the recipe's pattern {pattern!r} fits no matrix of this checkpoint.")


def _upload(arguments: argparse.Namespace, screen: Screen) -> int:
    """The conversion is whole whatever becomes of this."""
    from granite_mlx.convert.upload import upload
    from granite_mlx.errors import ConversionError

    screen.progress(f"Uploading {shown(arguments.destination)}")
    try:
        url = upload(Path(arguments.destination).expanduser(), arguments.upload_repo)
    except ConversionError as error:
        screen.failure(error)
        return Exit.PARTIAL
    screen.result(f"{url}\n")
    return Exit.COMPLETE
