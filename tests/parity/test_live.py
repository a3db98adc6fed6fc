"""The live comparison with torch and transformers, as `make parity` runs it."""

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("script", ["reference.py", "demo_reference.py"])
def test_live_parity(script):
    run = subprocess.run(
        [sys.executable, Path(__file__).with_name(script)], capture_output=True, text=True
    )
    print(run.stdout)
    assert run.returncode == 0, run.stdout + run.stderr
