"""The exit codes of every command."""

from __future__ import annotations

from enum import IntEnum


class Exit(IntEnum):
    """What a command tells its caller when it ends."""

    COMPLETE = 0  # everything asked for was done
    PARTIAL = 1  # something was output, but some files failed; or a self-test failed
    NOTHING_DONE = 2  # wrong arguments, no usable model, or no usable file
    INTERRUPTED = 130  # Ctrl-C; what was done is kept (143 after SIGTERM, 129 after SIGHUP)
    READER_GONE = 141  # nobody reads stdout any more, as after `| head`
