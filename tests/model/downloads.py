"""What the tests of downloads share: a log of progress, and the files that are to come."""

import os
import subprocess
import sys
from pathlib import Path

from .fake_hub import MODEL_ID, SHARDS, FakeHub

SMALL_FILES = [
    "config.json",
    "tokenizer.json",
    "generation_config.json",
    "tokenizer_config.json",
    "chat_template.jinja",
    "preprocessor_config.json",
    "processor_config.json",
    "model.safetensors.index.json",
]
HEAD = "out_llm.safetensors"
ENOUGH_S = 60  # for a process to answer on a busy machine; nothing waits that long if all is well


class Log:
    """A progress callback that remembers what it was told."""

    def __init__(self) -> None:
        self.calls: list[tuple[int, int]] = []

    def __call__(self, done_bytes: int, total_bytes: int) -> None:
        self.calls.append((done_bytes, total_bytes))

    @property
    def done(self) -> list[int]:
        return [done for done, _ in self.calls]


def needed(files: dict[str, bytes]) -> dict[str, bytes]:
    return {name: files[name] for name in (*SMALL_FILES, *SHARDS, HEAD) if name in files}


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def child(hub: FakeHub, home: Path) -> subprocess.Popen[str]:
    """A process of its own that prints the checkpoint's commit, or "interrupted"."""
    program = (
        "import sys\n"
        "from granite_mlx.model.checkpoint import find_checkpoint\n"
        "assert 'huggingface_hub' not in sys.modules\n"
        "try:\n"
        f"    print(find_checkpoint({MODEL_ID!r}).revision)\n"
        "except KeyboardInterrupt:\n"
        "    print('interrupted')\n"
    )
    settings = {"HF_HOME": str(home), "HF_ENDPOINT": hub.url, "HF_HUB_OFFLINE": "0"}
    environment = {n: v for n, v in os.environ.items() if not n.startswith(("HF_", "HUGGING"))}
    return subprocess.Popen(
        [sys.executable, "-c", program],
        env=environment | settings,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
