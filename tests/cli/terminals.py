"""What was written to a terminal."""

import os


def read_all(descriptor: int) -> str:
    """All of it, once nobody has the other side open; a single read may give a part."""
    parts = []
    while True:
        try:
            part = os.read(descriptor, 4096)
        except OSError:  # the other side has closed: Linux
            part = b""
        if not part:
            os.close(descriptor)
            return b"".join(parts).decode()
        parts.append(part)
