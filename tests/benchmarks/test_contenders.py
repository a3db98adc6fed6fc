"""Who can take part, and the programs that measure what is not ours."""

import http.server
import importlib
import json
import sys
import threading
from collections.abc import Iterator
from email import message_from_bytes
from pathlib import Path
from types import ModuleType
from typing import Any, ClassVar

import pytest

from granite_mlx.bench.wav import example_speech, write_wav

FAKE = Path(__file__).with_name("fake_contender.py")


@pytest.fixture(scope="module")
def known(benchmarks: ModuleType) -> ModuleType:
    return importlib.import_module("benchmarks.contenders.known")


@pytest.fixture(scope="module")
def protocol(benchmarks: ModuleType) -> ModuleType:
    return importlib.import_module("benchmarks.contenders.protocol")


@pytest.fixture
def request_(protocol: ModuleType, tmp_path: Path) -> Any:
    """A recording of 2 s."""
    write_wav(tmp_path / "two.wav", example_speech(2))
    return protocol.Request(tmp_path / "two.wav", 2.0, 64, forced=False)


def configured(known: ModuleType, tmp_path: Path, text: str) -> Any:
    path = tmp_path / "peers.toml"
    path.write_text(text)
    return known.configured(path)


def test_a_configuration(known: ModuleType, tmp_path: Path) -> None:
    server, other = configured(
        known,
        tmp_path,
        """
        [[contender]]
        name = "vllm"
        kind = "server"
        url = "http://127.0.0.1:8000/v1"
        stream = true
        models = { full-size = "granite" }

        [[contender]]
        name = "mlx-audio, next"
        kind = "mlx-audio"
        python = "/env/bin/python"
        """,
    )
    assert server.worker == "server_worker"
    assert server.options == {"url": "http://127.0.0.1:8000/v1", "stream": True}
    assert server.model("full-size", "/folder") == "granite"
    assert server.model("demo", "/folder") is None
    assert not server.large
    assert (other.python, other.worker) == ("/env/bin/python", "mlx_audio_worker")
    assert other.model("demo", "/folder") == "/folder"
    assert other.large


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", r"needs a \[\[contender\]\]"),
        ("contender = 1", r"needs a \[\[contender\]\]"),
        ("[[contender]", "peers.toml"),
        ("[[contender]]\nkind = 'server'", "has no name"),
        ("[[contender]]\nname = 'x'\nkind = 'limits'", "kind of 'x' must be one of"),
        ("[[contender]]\nname = 'x'\nkind = 'command'", "'x' needs a command"),
        ("[[contender]]\nname = 'x'\nkind = 'command'\ncommand = 'ls'", "'x' needs a command"),
        ("[[contender]]\nname = 'x'\nkind = 'server'", "'x' needs a url"),
        ("[[contender]]\nname = 'x'\nkind = 'mlx-audio'\nmodels = 1", "models of 'x'"),
    ],
)
def test_a_configuration_that_is_wrong(
    known: ModuleType, tmp_path: Path, text: str, complaint: str
) -> None:
    with pytest.raises(known.PeersError, match=complaint):
        configured(known, tmp_path, text)


def test_peers_are_found_beside_the_repository(known: ModuleType, tmp_path: Path) -> None:
    names = [contender.name for contender in known.built_in(tmp_path)]
    assert names == ["granite-mlx", "granite-mlx, drafts", "granite-mlx, command"]
    python = tmp_path / ".venv-mlx-audio" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.touch()
    found = {contender.name: contender for contender in known.built_in(tmp_path)}
    assert found["mlx-audio"].python == str(python)
    assert found["mlx-audio, command"].options["command"][0] == str(python)
    assert "transformers" not in found


def test_a_peer_that_is_missing_is_told_with_the_mend(known: ModuleType, tmp_path: Path) -> None:
    with pytest.raises(known.PeersError, match=r"make \.venv-reference/installed"):
        known.chosen(known.built_in(tmp_path), ["transformers"])
    (ours,) = known.chosen(known.built_in(tmp_path), ["granite-mlx"])
    assert ours.name == "granite-mlx"


# A command line


def worker(benchmarks: ModuleType, name: str, settings: dict[str, Any]) -> Any:
    return importlib.import_module(f"benchmarks.contenders.{name}_worker").Worker(settings)


def test_a_command_is_timed_and_its_text_read(benchmarks: ModuleType, request_: Any) -> None:
    command = ["{python}", str(FAKE), "{audio}", "{model}"]
    asked = worker(benchmarks, "command", {"command": command})
    assert asked.load("/models/tiny", "float32").values == {}
    answer = asked.end_to_end(request_)
    assert answer.text == "2 seconds of tiny"
    assert answer.values["total_s"] > 0


def test_a_command_that_writes_a_file(benchmarks: ModuleType, request_: Any) -> None:
    script = "import os, sys; open(sys.argv[1] + '.txt', 'w').write(os.environ['SAID'] + ' {x}\\n')"
    settings = {
        "command": [sys.executable, "-c", script, "{out}"],
        "text_file": "{out}.txt",
        "environment": {"SAID": "words"},
    }
    assert worker(benchmarks, "command", settings).end_to_end(request_).text == "words {x}"


# A server


class Server(http.server.BaseHTTPRequestHandler):
    """Answers as OpenAI's do; keeps what it was asked."""

    asked: ClassVar[list[Any]] = []
    status = 200

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        head = f"Content-Type: {self.headers['Content-Type']}\n\n".encode()
        parts = message_from_bytes(head + body).get_payload()
        fields = {
            part.get_param("name", header="content-disposition"): part.get_payload(decode=True)
            for part in parts
        }
        self.asked.append((self.path, self.headers["Authorization"], fields))
        self.send_response(self.status)
        self.end_headers()
        if fields.get("stream") == b"true":
            for delta in (" four", " thrée"):
                event = {"type": "transcript.text.delta", "delta": delta}
                self.wfile.write(f"data: {json.dumps(event, ensure_ascii=False)}\n\n".encode())
            self.wfile.write(b'data: {"type": "transcript.text.done"}\n\ndata: [DONE]\n\n')
        else:
            self.wfile.write(json.dumps({"text": " four thrée "}).encode())

    def log_message(self, *arguments: Any) -> None:
        pass


@pytest.fixture
def url() -> Iterator[str]:
    Server.asked, Server.status = [], 200
    with http.server.HTTPServer(("127.0.0.1", 0), Server) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/v1/"
        server.shutdown()
        thread.join()


def test_a_server_is_sent_the_recording(
    benchmarks: ModuleType, request_: Any, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOME_KEY", "secret")
    settings = {"url": url, "fields": {"language": "en"}, "key_variable": "SOME_KEY"}
    asked = worker(benchmarks, "server", settings)
    asked.load("granite", "float32")
    answer = asked.end_to_end(request_)
    assert answer.text == "four thrée"
    assert list(answer.values) == ["total_s"]
    ((path, key, fields),) = Server.asked
    assert (path, key) == ("/v1/audio/transcriptions", "Bearer secret")
    assert fields["file"] == request_.audio.read_bytes()
    assert (fields["model"], fields["language"]) == (b"granite", b"en")


def test_a_stream_tells_when_its_first_token_comes(
    benchmarks: ModuleType, request_: Any, url: str
) -> None:
    answer = worker(benchmarks, "server", {"url": url, "stream": True}).end_to_end(request_)
    assert answer.text == "four thrée"
    assert 0 < answer.values["first_token_s"] <= answer.values["total_s"]


def test_a_server_that_refuses(benchmarks: ModuleType, request_: Any, url: str) -> None:
    Server.status = 404
    with pytest.raises(RuntimeError, match="the server answers 404"):
        worker(benchmarks, "server", {"url": url}).end_to_end(request_)


def test_a_server_that_is_not_there(benchmarks: ModuleType, request_: Any) -> None:
    with pytest.raises(RuntimeError, match="out of reach"):
        worker(benchmarks, "server", {"url": "http://127.0.0.1:9/v1"}).end_to_end(request_)
