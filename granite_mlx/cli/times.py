"""Times as people write them."""

from __future__ import annotations

import argparse
import math
import re

TIME = re.compile(r"(?:(?:(\d+):)?(\d+):)?(\d+\.?\d*|\.\d+)", re.ASCII)
SEXAGESIMAL = 60


def seconds(text: str) -> float:
    """90, 90.5, 1:30, 1:30.5 or 0:01:30 -> seconds."""
    match = TIME.fullmatch(text)
    if match is None:
        raise argparse.ArgumentTypeError(f"{text!r} is not a time (90.5, 1:30 or 0:01:30)")
    hours, minutes, rest = match.groups()
    too_many = (minutes is not None and float(rest) >= SEXAGESIMAL) or (
        hours is not None and int(minutes) >= SEXAGESIMAL
    )
    if too_many:
        raise argparse.ArgumentTypeError(f"{text!r} has 60 or more where 59 is the most")
    total_s = (float(hours or 0) * SEXAGESIMAL + float(minutes or 0)) * SEXAGESIMAL + float(rest)
    if not math.isfinite(total_s):
        raise argparse.ArgumentTypeError("the time is too large")
    return total_s


def clock(time_s: float) -> str:
    """75.4 -> 1:15, 3675 -> 1:01:15."""
    minutes, seconds = divmod(round(time_s), SEXAGESIMAL)
    hours, minutes = divmod(minutes, SEXAGESIMAL)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"
