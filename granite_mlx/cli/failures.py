"""Exceptions in one sentence, for people."""

from __future__ import annotations

from granite_mlx.errors import GraniteError


class UsageError(Exception):
    """The arguments do not make sense; the message is the sentence to show."""


class NoModelError(Exception):
    """There is no usable model; `__cause__` says why. No other recording can fare better."""


def explain(error: BaseException) -> str:
    """The sentence that an exception carries, or, where it carries none, the name of the bug."""
    match error:
        case NoModelError() if error.__cause__ is not None:
            return explain(error.__cause__)
        case OSError() if error.strerror:
            where = f"{error.filename}: " if error.filename is not None else ""
            return f"{where}{error.strerror}"
        case MemoryError():
            return "there is not enough memory."
        case UsageError() | GraniteError() | ValueError() | OSError() if str(error):
            return str(error)
        case _:
            said = ": ".join(part for part in (type(error).__name__, str(error)) if part)
            return f"{said}; this is a bug, please report it with --debug"
