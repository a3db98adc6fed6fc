"""Which files of a folder are taken for recordings."""

from __future__ import annotations

SUFFIXES = frozenset(
    ".aac .aif .aiff .au .caf .flac .m4a .mka .mkv .mov .mp3 .mp4 .oga .ogg .opus .wav .wave "
    ".webm .wma".split()
)
"""In lower case. A file that is named itself may have any name: its content decides."""


def looks_like_recording(name: str) -> bool:
    """A file's name has one of the suffixes, in any case, and does not begin with a dot."""
    if name.startswith("."):  # hidden, or what macOS puts beside a file on a foreign disk
        return False
    dot = name.rfind(".")
    return dot > 0 and name[dot:].lower() in SUFFIXES
