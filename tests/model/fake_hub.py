"""A Hugging Face hub with one repository, on a port of this machine.

It speaks what huggingface_hub needs to list and fetch a model's files: `/api/models/{id}` and
`/{id}/resolve/{revision}/{file}`, with commits, ranges and the hub's own error codes. Files may
lie on Xet, the hub's store for large ones, as all published weights do; here it is a folder.
"""

import contextlib
import hashlib
import json
import socket
import sys
import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

MODEL_ID = "test-owner/granite-speech-test"
ENOUGH_S = 30  # a server that was silent for so long answers after all, so that tests end

CONFIG = {
    "model_type": "granite_speech",
    "audio_token_index": 100352,
    "window_size": 15,
    "downsample_rate": 5,
    "has_lora_adapter": False,
    "tie_word_embeddings": False,
    "encoder_config": {
        "input_dim": 160,
        "num_layers": 16,
        "hidden_dim": 1024,
        "feedforward_mult": 4,
        "num_heads": 8,
        "dim_head": 128,
        "output_dim": 348,
        "context_size": 200,
        "max_pos_emb": 512,
        "conv_kernel_size": 15,
        "conv_expansion_factor": 2,
    },
    "projector_config": {
        "hidden_size": 1024,
        "num_hidden_layers": 2,
        "num_attention_heads": 16,
        "intermediate_size": 4096,
        "encoder_hidden_size": 1024,
    },
    "text_config": {
        "vocab_size": 100353,
        "hidden_size": 2048,
        "intermediate_size": 4096,
        "num_hidden_layers": 40,
        "num_attention_heads": 16,
        "num_key_value_heads": 4,
        "max_position_embeddings": 4096,
        "rms_norm_eps": 1e-5,
        "embedding_multiplier": 12.0,
        "attention_multiplier": 1 / 128,
        "residual_multiplier": 0.22,
        "logits_scaling": 8.0,
        "eos_token_id": 100257,
    },
}
"""config.json of granite-4.0-1b-speech, as far as it is read."""

SHARDS = [f"model-0000{n}-of-00003.safetensors" for n in (1, 2, 3)]


def model_files(salt: str = "") -> dict[str, bytes]:
    """A repository as IBM publishes them, with small shards; `salt` makes other weights."""
    weight_map = {f"tensor.{n}": name for n, name in enumerate(SHARDS)}
    return {
        ".gitattributes": b"*.safetensors filter=lfs",
        "README.md": b"# A model card",
        "config.json": json.dumps(CONFIG).encode(),
        "generation_config.json": b'{"do_sample": false}',
        "tokenizer.json": b'{"model": {}}',
        "tokenizer_config.json": b'{"model_max_length": 4096}',
        "chat_template.jinja": b"{{ messages[0].content }}",
        "preprocessor_config.json": b'{"sampling_rate": 16000}',
        "processor_config.json": b'{"audio_token": "<|audio|>"}',
        "model.safetensors.index.json": json.dumps({"weight_map": weight_map}).encode(),
        **{name: f"{name}{salt}".encode() * 1000 for name in SHARDS},
        "out_llm.safetensors": b"o" * 5000,
        "pytorch_model.bin": b"p" * 5000,
        "onnx/model.safetensors": b"x" * 5000,
        "onnx/model.onnx": b"x" * 5000,
    }


@dataclass
class Fault:
    """What goes wrong with the requests whose path contains `where`, the first `times` times."""

    where: str
    status: int | None = None
    code: str | None = None  # the hub's X-Error-Code
    cut_after: int | None = None  # bytes of the body before the connection breaks
    stall: bool = False  # the connection stays open and nothing (more) comes, until it closes
    times: int = 1_000_000


@dataclass
class FakeHub:
    """The repository MODEL_ID; a context manager that serves while it is open."""

    commits: dict[str, dict[str, bytes]] = field(default_factory=dict)
    refs: dict[str, str] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)
    requests: list[tuple[str, str]] = field(default_factory=list)
    xet_hashes: dict[str, str] = field(default_factory=dict)  # by file name
    xet_folder: Path | None = None
    stalled: threading.Event = field(default_factory=threading.Event)
    released: threading.Event = field(default_factory=threading.Event)

    def commit(self, files: dict[str, bytes], ref: str = "main") -> str:
        """Add a commit with these files, let `ref` point to it, and return its hash."""
        digest = hashlib.sha1(repr(sorted(files.items())).encode()).hexdigest()
        self.commits[digest] = files
        self.refs[ref] = digest
        return digest

    def store_on_xet(self, files: dict[str, bytes], folder: Path) -> None:
        """Keep the content of these files in a Xet store in `folder`."""
        import hf_xet

        self.xet_folder = folder / "store"
        with hf_xet.XetSession().new_upload_commit(endpoint=f"local://{self.xet_folder}") as upload:
            handles = {}
            for name, content in files.items():
                (folder / name).write_bytes(content)
                handles[name] = upload.start_upload_file(str(folder / name))
        self.xet_hashes = {name: handle.result().xet_info.hash for name, handle in handles.items()}

    def fetched(self) -> list[str]:
        """Names of the files whose content was asked for, in order."""
        wanted = [path for method, path in self.requests if method == "GET" and "/resolve/" in path]
        return [path.rpartition("/")[-1] for path in wanted]

    def fault(self, path: str) -> Fault | None:
        """The first fault that is due at `path`; counts it."""
        for fault in self.faults:
            if fault.where in path and fault.times > 0:
                fault.times -= 1
                return fault
        return None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> "FakeHub":
        self._server = _Server(("127.0.0.1", 0), _handler(self))
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()
        return self

    def __exit__(self, *args: object) -> None:
        self.close()

    def close(self) -> None:
        """Stop serving: connections end, and new ones are refused."""
        self.released.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
        self._server.end_connections()


class _Server(ThreadingHTTPServer):
    """Knows its connections, which clients keep open from one request to the next."""

    def __init__(self, address: tuple[str, int], handler: type[BaseHTTPRequestHandler]) -> None:
        super().__init__(address, handler)
        self._connections: set[socket.socket] = set()

    def process_request(self, request: Any, client_address: Any) -> None:
        self._connections.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        self._connections.discard(request)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        if not isinstance(sys.exc_info()[1], ConnectionError):  # a client may leave when it likes
            super().handle_error(request, client_address)

    def end_connections(self) -> None:
        for connection in list(self._connections):
            with contextlib.suppress(OSError):  # the client was faster
                connection.shutdown(socket.SHUT_RDWR)


def _handler(hub: FakeHub) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True  # else each answer waits for its header to be confirmed

        def do_HEAD(self) -> None:
            self.do_GET()

        def do_GET(self) -> None:
            path = unquote(urlsplit(self.path).path)
            if path.startswith("/api/agent-harnesses"):  # asked for in the tools' user agent only
                return self.fail(404, "EntryNotFound")
            hub.requests.append((self.command, path))
            fault = hub.fault(path)
            if fault is not None and fault.status is not None:
                return self.fail(fault.status, fault.code)
            if fault is not None and fault.stall and fault.cut_after is None:
                hub.released.wait(ENOUGH_S)
            if path == "/xet-token":
                return self.answer_token()
            if path.startswith("/api/models/"):
                return self.answer_info(path.removeprefix("/api/models/"))
            return self.answer_file(path.removeprefix("/"), fault)

        def answer_info(self, path: str) -> None:
            model_id, _, revision = path.partition("/revision/")
            commit = self.find_commit(model_id, revision)
            if commit is None:
                return
            siblings = [
                {"rfilename": name, "size": len(content), "blobId": _etag(content)}
                for name, content in hub.commits[commit].items()
            ]
            info = {"id": model_id, "sha": commit, "siblings": siblings}
            self.send(200, {"Content-Type": "application/json"}, json.dumps(info).encode())

        def answer_file(self, path: str, fault: Fault | None) -> None:
            model_id, _, rest = path.partition("/resolve/")
            revision, _, name = rest.partition("/")
            commit = self.find_commit(model_id, revision)
            if commit is None:
                return
            content = hub.commits[commit].get(name)
            if content is None:
                return self.fail(404, "EntryNotFound")
            headers = {"ETag": f'"{_etag(content)}"', "X-Repo-Commit": commit}
            if name.endswith(".safetensors"):
                headers |= {"X-Linked-Etag": headers["ETag"], "X-Linked-Size": str(len(content))}
            if name in hub.xet_hashes:
                headers["X-Xet-Hash"] = hub.xet_hashes[name]
                headers["X-Xet-Refresh-Route"] = f"{hub.url}/xet-token"
            status, start = 200, 0
            if (wanted := self.headers.get("Range")) is not None:
                status, start = 206, int(wanted.removeprefix("bytes=").removesuffix("-"))
                headers["Content-Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
            self.send(status, headers, content[start:], fault)

        def answer_token(self) -> None:
            headers = {
                "X-Xet-Cas-Url": f"local://{hub.xet_folder}",
                "X-Xet-Access-Token": "test",
                "X-Xet-Token-Expiration": str(int(time.time()) + 3600),
            }
            self.send(200, headers, b"")

        def find_commit(self, model_id: str, revision: str) -> str | None:
            if model_id != MODEL_ID:
                return self.fail(401, "RepoNotFound")  # so that nobody learns what is private
            commit = hub.refs.get(revision or "main", revision)
            return commit if commit in hub.commits else self.fail(404, "RevisionNotFound")

        def fail(self, status: int, code: str | None) -> None:
            self.send(status, {"X-Error-Code": code} if code else {}, b"")

        def send(
            self, status: int, headers: dict[str, str], body: bytes, fault: Fault | None = None
        ) -> None:
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.send_header("X-HF-Warning", "test; a warning that is not for the screen")
            self.end_headers()
            if self.command == "HEAD":
                return
            if fault is None or fault.cut_after is None:
                self.wfile.write(body)
                return
            self.wfile.write(body[: fault.cut_after])
            self.wfile.flush()
            self.close_connection = True
            if fault.stall:
                hub.stalled.set()
                hub.released.wait()

        def log_message(self, format: str, *args: object) -> None:
            pass

    return Handler


def _etag(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
