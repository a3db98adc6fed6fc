"""The arguments that transcribe and translate share, with the types that check them."""

from __future__ import annotations

import argparse
import dataclasses
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from granite_mlx.biasing.terms import read_keywords
from granite_mlx.cli.failures import UsageError
from granite_mlx.cli.model import RecognitionOptions
from granite_mlx.cli.times import seconds
from granite_mlx.decoding.languages import language_code, spoken_language
from granite_mlx.errors import LanguageError
from granite_mlx.options import BATCH_SIZE, CHANNELS, GUARD, HIGHEST_BOOST, LARGEST_BATCH
from granite_mlx.transcript import FORMATS, SubtitleOptions
from granite_mlx.transcript.writers import SUBTITLE_FORMATS

if TYPE_CHECKING:
    from granite_mlx.ranges import Range

ALL_FORMATS = "all"
LARGEST_SEED = 2**64 - 1
SUBTITLE_OPTIONS = tuple(field.name for field in dataclasses.fields(SubtitleOptions))


def add_recognition_arguments(parser: argparse.ArgumentParser) -> None:
    """Everything from FILE to --quiet."""
    parser.add_argument(
        "files",
        metavar="FILE",
        nargs="+",
        help="a recording, a folder of them with --recursive, or - for stdin",
    )
    add_listening_arguments(parser)
    add_output_arguments(parser.add_argument_group("output"))
    add_subtitle_arguments(parser.add_argument_group("subtitles (srt and vtt)"))


def add_listening_arguments(parser: argparse.ArgumentParser) -> None:
    """What `recognition_options` reads, and the model."""
    add_model_arguments(parser.add_argument_group("model"))
    speech = parser.add_argument_group("speech")
    add_spoken_arguments(speech)
    _add_part_arguments(speech)
    _add_decoding_arguments(parser.add_argument_group("decoding"))


def recognition_options(arguments: argparse.Namespace) -> RecognitionOptions:
    """What the model is told about every recording.

    Raises:
        UsageError: a range that is empty, or a file of ranges that makes no sense.
        ValueError: a term that cannot be one, or a keywords file that cannot be read.
    """
    start_s, end_s = arguments.start, arguments.end
    if end_s is not None and end_s <= start_s:
        raise UsageError(f"--end ({end_s:g} s) must be after --start ({start_s:g} s).")
    given = read_keywords(arguments.keyword) + read_keywords(arguments.keywords_file)
    ranges = () if arguments.ranges is None else _ranges(arguments.ranges)
    has_keywords = bool(given.terms) or any(one.keywords for one in ranges)
    check_boost(arguments.keyword_boost, has_keywords)
    return RecognitionOptions(
        keywords=given.entries() or None,
        keyword_boost=arguments.keyword_boost,
        language=arguments.language,
        punctuate=arguments.punctuate,
        temperature=arguments.temperature,
        top_p=arguments.top_p,
        seed=arguments.seed,
        max_new_tokens=arguments.max_new_tokens,
        guard=arguments.guard,
        start_s=start_s,
        end_s=end_s,
        channels=arguments.channels,
        ranges=ranges,
        batch_size=arguments.batch_size,
    )


def check_boost(boost: float, has_keywords: bool) -> None:
    """UsageError for a boost of nothing."""
    if boost and not has_keywords:
        raise UsageError(
            "--keyword-boost has no keywords to raise; give -k or --keywords-file, or leave it out."
        )


def subtitle_options(arguments: argparse.Namespace) -> SubtitleOptions:
    """How srt and vtt are laid out.

    Raises:
        UsageError: options of subtitles where no subtitles are written, or that make no sense.
    """
    chosen = {name: getattr(arguments, name) for name in SUBTITLE_OPTIONS}
    given = {name: value for name, value in chosen.items() if value is not None}
    if given and arguments.output_format not in (*SUBTITLE_FORMATS, ALL_FORMATS):
        option = f"--{next(iter(given)).replace('_', '-')}"
        formats = " or ".join((*SUBTITLE_FORMATS, ALL_FORMATS))
        raise UsageError(
            f"{option} is for subtitles, not for {arguments.output_format}; add -f {formats}."
        )
    try:
        return SubtitleOptions(**given)
    except ValueError as error:
        raise UsageError(str(error)) from error


def target(text: str) -> str:
    """A language to translate to, by code or English name -> its code."""
    return _language(text, language_code)


def spoken(text: str) -> str:
    """A language that the model hears, by code or English name -> its code."""
    return _language(text, spoken_language)


def speed(text: str) -> float:
    """A finite number above 0."""
    value = _number(text)
    if not 0.0 < value < math.inf:
        raise argparse.ArgumentTypeError(f"{text} is not a number above 0")
    return value


def temperature(text: str) -> float:
    """A finite number of 0 or more."""
    value = _number(text)
    if not 0.0 <= value < math.inf:
        raise argparse.ArgumentTypeError(f"{text} is not a number of 0 or more")
    return value


def probability(text: str) -> float:
    """A number above 0 and at most 1."""
    value = _number(text)
    if not 0.0 < value <= 1.0:
        raise argparse.ArgumentTypeError(f"{text} is not above 0 and at most 1")
    return value


def boost(text: str) -> float:
    """A bonus of keywords, in nats."""
    value = _number(text)
    if not 0.0 <= value <= HIGHEST_BOOST:
        raise argparse.ArgumentTypeError(f"{text} is not between 0 and {HIGHEST_BOOST:g}")
    return value


def seed(text: str) -> int:
    """A whole number that fits 64 bits."""
    value = _whole_number(text)
    if not 0 <= value <= LARGEST_SEED:
        raise argparse.ArgumentTypeError(f"{text} is not between 0 and {LARGEST_SEED}")
    return value


def count(text: str) -> int:
    """A whole number of 1 or more."""
    value = _whole_number(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text} is not 1 or more")
    return value


def batch_size(text: str) -> int:
    """A whole number of segments that can be worked on at once."""
    value = count(text)
    if value > LARGEST_BATCH:
        raise argparse.ArgumentTypeError(f"{text} is more than {LARGEST_BATCH}")
    return value


def _language(text: str, code_of: Callable[[str], str]) -> str:
    try:
        return code_of(text)
    except LanguageError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _ranges(path: Path) -> Sequence[Range]:
    """What a file says; importing its reader only here keeps --help fast."""
    from granite_mlx.cli.range_file import read_ranges

    return read_ranges(path)


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number") from error


def _whole_number(text: str) -> int:
    try:
        return int(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number") from error


def add_model_arguments(group: argparse._ArgumentGroup) -> None:
    """Which model, and how it computes."""
    group.add_argument(
        "-m",
        "--model",
        help="a Hugging Face id, a folder, or demo, which needs no download "
        "(default: $GRANITE_MLX_MODEL, or ibm-granite/granite-4.0-1b-speech)",
    )
    group.add_argument("--revision", help="a branch, tag or commit of the Hugging Face id")
    group.add_argument(
        "--dtype",
        choices=["float32", "float16", "bfloat16"],
        help="the precision to compute in (default: the checkpoint's)",
    )


def add_spoken_arguments(group: argparse._ArgumentGroup) -> None:
    """What is told of what is said, and how it is to be written."""
    group.add_argument(
        "-k",
        "--keyword",
        metavar="TERM",
        action="append",
        default=[],
        help="a name or term that may be said; repeat it for more",
    )
    group.add_argument(
        "--keywords-file",
        metavar="FILE",
        type=Path,
        help="more terms, one a line; behind a tab, how it sounds; # begins a comment",
    )
    group.add_argument(
        "--keyword-boost",
        metavar="NATS",
        type=boost,
        default=0.0,
        help="make the decoder likelier to write terms that sound like what is heard: 2 is a "
        f"nudge, {HIGHEST_BOOST:g} the most (default: 0, off)",
    )
    group.add_argument(
        "--language",
        metavar="LANG",
        type=spoken,
        help="the spoken language, a code or an English name (fr, French)",
    )
    group.add_argument(
        "--punctuate", action="store_true", help="ask for punctuation and capital letters"
    )


def _add_part_arguments(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--start",
        metavar="TIME",
        type=seconds,
        default=0.0,
        help="begin here: seconds, MM:SS or HH:MM:SS",
    )
    group.add_argument("--end", metavar="TIME", type=seconds, help="stop here, in the same forms")
    group.add_argument(
        "--channels",
        choices=CHANNELS,
        default=CHANNELS[0],
        help="separate: each channel by itself, as the speaker channel 1, channel 2, ... "
        "(default: mixed)",
    )
    group.add_argument(
        "--ranges",
        metavar="FILE",
        type=Path,
        help="another language, task or keywords in parts of the recording: a JSON list of "
        'objects like {"start": "1:30", "end": "2:00", "language": "fr"}',
    )


def _add_decoding_arguments(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--temperature",
        metavar="T",
        type=temperature,
        default=0.0,
        help="above 0 samples the text instead of taking the most probable (default: 0)",
    )
    group.add_argument(
        "--top-p",
        metavar="P",
        type=probability,
        default=1.0,
        help="sample from the most probable tokens that make up P (default: 1)",
    )
    group.add_argument(
        "--seed", metavar="N", type=seed, help="sample the same text again for the same seed"
    )
    group.add_argument(
        "--max-new-tokens", metavar="N", type=count, help="stop a segment after so many tokens"
    )
    group.add_argument(
        "--batch-size",
        metavar="N",
        type=batch_size,
        default=BATCH_SIZE,
        help="work on up to N segments, and short recordings, at once; fewer take less memory "
        f"(default: {BATCH_SIZE})",
    )
    group.add_argument(
        "--guard",
        choices=GUARD,
        default=GUARD[0],
        help="on: leave out what the encoder has not heard, and ask again where the text repeats "
        "itself; off: what the decoder writes (default: on)",
    )


def add_output_arguments(group: argparse._ArgumentGroup) -> None:
    """Where transcripts go, and as what."""
    group.add_argument(
        "-f",
        "--output-format",
        choices=[*FORMATS, ALL_FORMATS],
        default=FORMATS[0],
        help=f"the format (default: {FORMATS[0]}); all writes every format and needs -o; "
        "json on stdout is one object a line",
    )
    group.add_argument(
        "-o",
        "--output-dir",
        metavar="DIR",
        type=Path,
        help="write DIR/NAME.FORMAT for each input NAME.* instead of to stdout; where two would "
        "share a name, the later ones on the command line become NAME-2, NAME-3, ...",
    )
    group.add_argument("--quiet", action="store_true", help="show errors only")


def add_subtitle_arguments(group: argparse._ArgumentGroup) -> None:
    """How subtitles are laid out."""
    defaults = SubtitleOptions()
    group.add_argument(
        "--max-line-width",
        metavar="N",
        type=_whole_number,
        help="columns of a line; a wide character takes two (default: 42, or 32 where most of "
        "the text is wide)",
    )
    group.add_argument(
        "--max-line-count",
        metavar="N",
        type=_whole_number,
        help=f"lines of a cue (default: {defaults.max_line_count})",
    )
    group.add_argument(
        "--max-words-per-line", metavar="N", type=_whole_number, help="words of a line"
    )
    for name, meaning in (
        ("min-cue-s", "seconds that a cue stays, where the next words leave it the time"),
        ("max-cue-s", "seconds that a cue stays at most"),
        ("max-chars-per-s", "columns to be read in a second; a cue stays longer for it"),
    ):
        default = getattr(defaults, name.replace("-", "_"))
        group.add_argument(
            f"--{name}", metavar="N", type=_number, help=f"{meaning} (default: {default:g})"
        )
    group.add_argument(
        "--highlight-words",
        action="store_true",
        default=None,
        help="underline each word while it is said, where word times are known",
    )
