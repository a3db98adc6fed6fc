"""A contender for the tests: a command line that says what it heard, or does what it is told.

    python fake_contender.py AUDIO MODEL [FOLDER]

It prints how long the recording is. With FOLDER, a file `fail` in it makes it end with code 1, and
a file `wait` makes it make `waiting` there and go on only when `wait` is gone.
"""

import sys
import time
import wave
from pathlib import Path

PATIENCE_S = 60

if __name__ == "__main__":
    with wave.open(sys.argv[1]) as audio:
        seconds = audio.getnframes() / audio.getframerate()
    folder = Path(sys.argv[3]) if len(sys.argv) > 3 else None
    if folder is not None and (folder / "fail").exists():
        sys.exit("it has failed as it was told")
    deadline = time.monotonic() + PATIENCE_S
    while folder is not None and (folder / "wait").exists() and time.monotonic() < deadline:
        (folder / "waiting").touch()
        time.sleep(0.01)
    print(f"{seconds:g} seconds of {Path(sys.argv[2]).name}")
