"""The server under load: many clients against one, its memory, and what is left after kill -9.

    python -m benchmarks.load [--clients 50] [--seconds 180] [--alone 30] [--warm-up 60]
        [--model demo] [--json FILE]

A server of its own, in its own process, is asked for the demo's example recordings: by one client,
then by many at once, each of which asks again as soon as it has its answer. Every answer must be
what the one client got. Memory is the process's resident set, once a second. At last the server is
killed while all clients are at work, and started again on the same port.
"""

from __future__ import annotations

import argparse
import contextlib
import http.client
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from statistics import mean, quantiles

import granite_mlx
from benchmarks.long_recordings import facts
from benchmarks.quiet import Ticks, others_share, ticks
from benchmarks.tables import markdown
from granite_mlx.serve.folder import LOCK, PREFIX

PATH = "/v1/audio/transcriptions"
BOUNDARY = "part-of-a-form"
PATIENCE_S = 300
MIB = 1 << 20
EXAMPLES = Path(granite_mlx.__file__).parent / "demo_checkpoint" / "examples"


@dataclass
class Counted:
    """What became of the requests of a number of clients."""

    n_clients: int
    seconds: float = 0.0
    latencies_s: list[float] = field(default_factory=list)
    errors: Counter[str] = field(default_factory=Counter)
    others: float | None = None

    @property
    def per_second(self) -> float:
        """Answers."""
        return len(self.latencies_s) / self.seconds


@dataclass(frozen=True)
class Restart:
    """After kill -9 with all clients at work."""

    n_broken_off: int
    left: list[str]
    left_after_restart: list[str]
    answers_after_s: float
    is_right: bool
    left_at_end: list[str]


class Server:
    """`granite-mlx serve` in a process, with temporary files of its own."""

    def __init__(self, model: str, port: int, temporary: str) -> None:
        command = [sys.executable, "-m", "granite_mlx", "serve", "-m", model, "--port", str(port)]
        environment = {**os.environ, "TMPDIR": temporary}
        self.process = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)
        assert self.process.stderr is not None
        line = self.process.stderr.readline()
        found = re.search(r":(\d+)/$", line.strip())
        if found is None:
            raise SystemExit(line + self.process.stderr.read())
        self.port = int(found[1])

    def rss_bytes(self) -> int:
        """Of the process, now."""
        shown = subprocess.run(
            ["ps", "-o", "rss=", "-p", str(self.process.pid)], capture_output=True, text=True
        )
        return 1024 * int(shown.stdout)

    def end(self, number: signal.Signals) -> None:
        """By a signal."""
        self.process.send_signal(number)
        self.process.wait(PATIENCE_S)
        assert self.process.stderr is not None
        self.process.stderr.close()


class Client:
    """Asks again and again, on one connection."""

    def __init__(self, port: int, recordings: Sequence[Path]) -> None:
        self._port = port
        self._forms = [(path.name, _form(path.read_bytes())) for path in recordings]
        self._connection: http.client.HTTPConnection | None = None

    def ask(self, number: int) -> tuple[str, str]:
        """The recording's name and its text. What goes wrong is raised."""
        if self._connection is None:
            self._connection = http.client.HTTPConnection(
                "127.0.0.1", self._port, timeout=PATIENCE_S
            )
        name, body = self._forms[number % len(self._forms)]
        kind = {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"}
        try:
            self._connection.request("POST", PATH, body, kind)
            response = self._connection.getresponse()
            answer = response.read()
        except BaseException:
            self.close()
            raise
        if response.status != 200:
            raise ValueError(f"status {response.status}: {answer.decode()[:200]}")
        return name, json.loads(answer)["text"]

    def close(self) -> None:
        """Its connection, too."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def _form(recording: bytes) -> bytes:
    disposition = 'Content-Disposition: form-data; name="file"; filename="x"'
    head = f"--{BOUNDARY}\r\n{disposition}\r\n\r\n"
    return head.encode() + recording + f"\r\n--{BOUNDARY}--\r\n".encode()


def asked(
    server: Server,
    recordings: Sequence[Path],
    wanted: dict[str, str],
    n_clients: int,
    end: threading.Event,
) -> tuple[Counted, list[threading.Thread]]:
    """Clients at work, until the event is set: what becomes of it is counted meanwhile."""
    counted, lock = Counted(n_clients), threading.Lock()

    def work(number: int) -> None:
        client = Client(server.port, recordings)
        with contextlib.closing(client):
            while not end.is_set():
                begun_s, error = time.monotonic(), ""
                try:
                    name, text = client.ask(number)
                    if text != wanted[name]:
                        error = f"{name}: another text"
                except (OSError, ValueError, http.client.HTTPException) as wrong:
                    error = f"{type(wrong).__name__}: {wrong}"
                    time.sleep(0.1)
                with lock:
                    if error:
                        counted.errors[error] += 1
                    else:
                        counted.latencies_s.append(time.monotonic() - begun_s)
                number += 1

    threads = [threading.Thread(target=work, args=(n,), daemon=True) for n in range(n_clients)]
    for thread in threads:
        thread.start()
    return counted, threads


def measured(
    server: Server,
    recordings: Sequence[Path],
    wanted: dict[str, str],
    n_clients: int,
    seconds: float,
) -> tuple[Counted, list[int]]:
    """So many clients for so long, and the server's memory once a second, in bytes."""
    end, before, begun_s = threading.Event(), _ticks(server), time.monotonic()
    counted, threads = asked(server, recordings, wanted, n_clients, end)
    memory = []
    while time.monotonic() - begun_s < seconds:
        time.sleep(min(1.0, seconds))
        memory.append(server.rss_bytes())
    end.set()
    for thread in threads:
        thread.join(PATIENCE_S)
    counted.seconds = time.monotonic() - begun_s
    counted.others = others_share(before, _ticks(server))
    return counted, memory


def _ticks(server: Server) -> Ticks | None:
    """The clients' work is not that of others."""
    own, clients = ticks(server.process.pid), ticks(os.getpid())
    if own is None or clients is None:
        return None
    return replace(own, own=own.own + clients.own)


def killed_and_started(
    server: Server,
    model: str,
    recordings: Sequence[Path],
    wanted: dict[str, str],
    n_clients: int,
    temporary: str,
) -> Restart:
    """Kill the server while it works, and start another one in its place."""
    end = threading.Event()
    counted, threads = asked(server, recordings, wanted, n_clients, end)
    while len(counted.latencies_s) < n_clients:
        time.sleep(0.05)
    server.end(signal.SIGKILL)
    end.set()
    for thread in threads:
        thread.join(PATIENCE_S)
    left, begun_s = _left(temporary), time.monotonic()
    again = Server(model, server.port, temporary)
    with contextlib.closing(Client(again.port, recordings)) as client:
        name, text = client.ask(0)
    answers_after_s = time.monotonic() - begun_s
    left_after = _left(temporary)
    again.end(signal.SIGTERM)
    return Restart(
        counted.errors.total(), left, left_after, answers_after_s, text == wanted[name],
        _left(temporary),
    )  # fmt: skip


def _left(temporary: str) -> list[str]:
    """Folders of servers, and what is in them beside the lock."""

    def shown(folder: Path) -> Iterator[str]:
        yield "a folder"
        yield from (path.name for path in folder.iterdir() if path.name != LOCK)

    return [one for folder in Path(temporary).glob(f"{PREFIX}*") for one in shown(folder)]


def latency_table(rows: Sequence[Counted]) -> str:
    """For a document."""
    head = ["clients", "answers", "errors", "a second", "median", "95 %", "99 %", "most", "others"]
    return markdown(
        head,
        (
            [
                str(one.n_clients), str(len(one.latencies_s)), str(one.errors.total()),
                f"{one.per_second:.2f}",
                *(f"{value:.2f} s" for value in _percentiles(one.latencies_s)),
                "not known" if one.others is None else f"{100 * one.others:.0f} %",
            ]
            for one in rows
        ),
        n_names=0,
    )  # fmt: skip


def _percentiles(values: Sequence[float]) -> tuple[float, float, float, float]:
    cuts = quantiles(values, n=100, method="inclusive") if len(values) > 1 else [*values] * 99
    return cuts[49], cuts[94], cuts[98], max(values)


def memory_line(memory: Sequence[int], warm_up_s: int) -> str:
    """How memory went after the first seconds."""
    after = [one / MIB for one in memory[warm_up_s:]] or [one / MIB for one in memory[-1:]]
    tenth = max(1, len(after) // 10)
    return (
        f"Memory (RSS) after {warm_up_s} s of load {mean(after[:tenth]):.0f} MiB, at the end "
        f"{mean(after[-tenth:]):.0f} MiB, at most {max(after):.0f} MiB."
    )


def main() -> int:
    """Measure and print -> 1 where anything went wrong."""
    parser = argparse.ArgumentParser(description="Measure the server under load.")
    parser.add_argument("--model", default="demo", help="as granite_mlx.load takes it")
    parser.add_argument("--clients", type=int, metavar="N", default=50)
    parser.add_argument("--seconds", type=float, metavar="S", default=180.0)
    parser.add_argument("--alone", type=float, metavar="S", default=30.0, help="for one client")
    parser.add_argument("--warm-up", type=int, metavar="S", default=60)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the counts here, too")
    args = parser.parse_args()
    recordings = sorted(EXAMPLES.glob("*.flac"))
    with tempfile.TemporaryDirectory() as temporary:
        server = Server(args.model, 0, temporary)
        with contextlib.closing(Client(server.port, recordings)) as client:
            wanted = dict(client.ask(number) for number in range(len(recordings)))
        one, _ = measured(server, recordings, wanted, 1, args.alone)
        many, memory = measured(server, recordings, wanted, args.clients, args.seconds)
        restart = killed_and_started(
            server, args.model, recordings, wanted, args.clients, temporary
        )
    print(latency_table([one, many]))
    print(memory_line(memory, args.warm_up))
    print(f"kill -9: {restart}")
    for counted in (one, many):
        for error, n in counted.errors.most_common():
            print(f"{n} x {error}", file=sys.stderr)
    if args.json is not None:
        found = {"facts": facts(), "clients": [asdict(one), asdict(many)], "memory": memory,
                 "restart": asdict(restart)}  # fmt: skip
        args.json.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    is_clean = (
        not restart.left_at_end and restart.is_right and restart.left_after_restart == ["a folder"]
    )
    return int(bool(one.errors or many.errors) or not is_clean)


if __name__ == "__main__":
    sys.exit(main())
