"""A Ray cluster of two nodes on this machine, started as two machines would start it."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ENOUGH_S = 300  # on a busy machine

AT_ONCE = {"RAY_GRACEFUL_SHUTDOWN_DRAIN_TIMEOUT_S": "0"}
"""A node that is stopped does not wait for its idle workers."""

ALIVE = """
import logging, sys, ray
ray.init(address=sys.argv[1], log_to_driver=False, logging_level=logging.ERROR)
nodes = [node for node in ray.nodes() if node["Alive"]]
print(len(nodes), ray.available_resources().get("CPU"), ray.get(ray.remote(lambda: 7).remote()))
"""


class RayCluster:
    """`ray start --head` and `ray start --address`, with a token, each with one CPU."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.home = folder / "home"
        self.home.mkdir()
        self.token = folder / "token"
        self.token.write_text("of-this-test-alone-0123456789abcdef")
        self.temp = Path(tempfile.mkdtemp(prefix="granite-mlx-test-", dir="/tmp"))  # short, for Ray
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.address = f"127.0.0.1:{free.getsockname()[1]}"
        self._nodes: list[subprocess.Popen[bytes]] = []

    def env(self, **changes: str) -> dict[str, str]:
        """Of the command: no mode is said, as a user would not."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
        return {**kept, "HOME": str(self.home), "RAY_USAGE_STATS_ENABLED": "0", **changes}

    @property
    def env_with_token(self) -> dict[str, str]:
        return self.env(RAY_AUTH_TOKEN_PATH=str(self.token))

    def start(self) -> None:
        port = self.address.rpartition(":")[2]
        self._node("--head", f"--port={port}", "--include-dashboard=false")
        self._node(f"--address={self.address}")

    def _node(self, *words: str) -> None:
        options = ["--num-cpus=1", "--num-gpus=0", "--object-store-memory=100000000", "--block"]
        if "--head" in words:
            options.append(f"--temp-dir={self.temp}")
        log = self.folder / f"node{len(self._nodes)}.log"
        with open(log, "wb") as out:
            node = subprocess.Popen(
                [sys.executable, "-m", "ray.scripts.scripts", "start", *words, *options],
                stdout=out,
                stderr=out,
                env={**self.env_with_token, "RAY_AUTH_MODE": "token", **AT_ONCE},
            )
        self._nodes.append(node)
        until_s = time.monotonic() + ENOUGH_S
        while "Ray runtime started" not in log.read_text():
            assert node.poll() is None, log.read_text()
            assert time.monotonic() < until_s, log.read_text()
            time.sleep(0.1)

    def seen(self) -> list[str]:
        """Numbers of nodes that are alive and of CPUs that nobody has, and what a task answers."""
        env = {**self.env_with_token, "RAY_AUTH_MODE": "token"}
        done = subprocess.run(
            [sys.executable, "-c", ALIVE, self.address],
            env=env, capture_output=True, text=True, timeout=ENOUGH_S, check=True,
        )  # fmt: skip
        return done.stdout.split()

    def stop(self) -> None:
        """Each with all that it has started, and nothing else."""
        try:
            for node in reversed(self._nodes):  # the head last: the others take leave of it
                node.send_signal(signal.SIGTERM)
                node.wait(ENOUGH_S)
        finally:
            for node in self._nodes:
                node.kill()  # if it has not ended; Ray's own processes go with it
                node.wait()
            shutil.rmtree(self.temp, ignore_errors=True)
