"""Who may ask: by what name, from which page, with which token."""

from collections.abc import Callable

import pytest
from starlette.testclient import TestClient
from starlette.websockets import WebSocketDisconnect

from granite_mlx import GraniteSpeech
from granite_mlx.serve.access import Access, is_loopback
from granite_mlx.serve.app import server_app

from .asking import Address

TOKEN = "open sésame"
NO_TOKEN_NEEDED = ["/", "/page/app.js", "/health", "/docs", "/openapi.json"]


@pytest.fixture(scope="module")
def guarded(serve: Callable[..., Address]) -> Address:
    """A server that asks for a token."""
    return serve(Access(TOKEN, frozenset({"mac.local"})))


def test_without_a_token_any_bearer_is_taken(address: Address) -> None:
    assert address.ask("GET", "/v1/models").status == 200
    assert address.ask("GET", "/v1/models", authorization="Bearer sk-anything").status == 200


@pytest.mark.parametrize("path", NO_TOKEN_NEEDED)
def test_what_needs_no_token(guarded: Address, path: str) -> None:
    assert guarded.ask("GET", path).status == 200


def test_everything_else_needs_it(guarded: Address, english: bytes) -> None:
    asked = [
        guarded.ask("GET", "/v1/models"),
        guarded.ask("GET", "/v1/nothing"),
        guarded.ask("POST", "/v1/transcripts/srt", b"{}"),
        guarded.post(english),
        guarded.post(english, authorization="Bearer wrong"),
        guarded.post(english, authorization="Basic wrong"),
        guarded.post(english, authorization=f"Bearer {TOKEN.encode().decode('latin-1')}x"),
        guarded.post(english, authorization="Bearer "),
    ]
    for answer in asked:
        assert answer.status == 401
        assert answer.headers["www-authenticate"] == "Bearer"
        assert answer.error["type"] == "authentication_error"
        assert answer.error["code"] == "invalid_api_key"
        assert TOKEN not in answer.text
    right = TOKEN.encode().decode("latin-1")  # http.client writes headers as Latin-1
    assert guarded.post(english, authorization=f"Bearer {right}").status == 200
    assert guarded.ask("GET", "/v1/models", authorization=f"bearer {right}").status == 200


@pytest.mark.parametrize(
    "host", ["localhost", "LOCALHOST:8000", "127.0.0.1:80", "[::1]:9", "192.168.1.7", "mac.local:1"]
)
def test_own_names(guarded: Address, host: str) -> None:
    assert guarded.ask("GET", "/health", host=host).status == 200


@pytest.mark.parametrize(
    "host",
    ["evil.example", "localhost.evil.example:8000", "127.0.0.1.nip.io", "", "[", "a@localhost:x"],
)
def test_other_names_are_refused(address: Address, host: str) -> None:
    """A page whose name was made to lead here (DNS rebinding) sends its own as Host."""
    for path in ("/", "/v1/models"):
        answer = address.ask("GET", path, host=host)
        assert answer.status == 403
        assert answer.error["code"] == "host_not_allowed"


@pytest.mark.parametrize(
    "origin", ["http://evil.example", "null", "http://localhost:1", "file://", "http://127.0.0.1"]
)
def test_pages_of_other_origins_are_refused(address: Address, english: bytes, origin: str) -> None:
    for answer in (
        address.post(english, origin=origin),
        address.ask("OPTIONS", "/v1/models", origin=origin, access_control_request_method="POST"),
    ):
        assert answer.status == 403
        assert answer.error["code"] == "origin_not_allowed"
        assert not any(name.startswith("access-control") for name in answer.headers)


def test_an_origin_that_is_none_is_refused(address: Address) -> None:
    """Malformed ones, and what is no page though it has the server's name."""
    own = address.url.removeprefix("http://")
    for origin in ("http://[::1", "", f"chrome-extension://{own}", f"file://{own}", f"//{own}"):
        answer = address.ask("GET", "/v1/models", origin=origin)
        assert answer.status == 403
        assert answer.error["code"] == "origin_not_allowed"


def test_the_own_page_may_ask(address: Address) -> None:
    answer = address.ask("GET", "/v1/models", origin=address.url)
    assert answer.status == 200
    assert not any(name.startswith("access-control") for name in answer.headers)


@pytest.mark.parametrize(
    ("headers", "protocols", "is_let_in"),
    [
        ({}, [], False),
        ({}, ["realtime", "openai-insecure-api-key.wrong"], False),
        ({"authorization": "Bearer wrong"}, [], False),
        ({"authorization": "Bearer opensesame"}, [], True),
        ({}, ["realtime", "openai-insecure-api-key.opensesame"], True),
        ({}, ["realtime", "granite-mlx-token.b3BlbnNlc2FtZQ"], True),
        ({}, ["realtime", "granite-mlx-token.b3BlbnNlc2FtYQ"], False),
        ({}, ["realtime", "granite-mlx-token.opensesame"], False),
        ({}, ["realtime", "granite-mlx-token.*"], False),
        ({}, ["realtime", "granite-mlx-token.x"], False),
        ({}, ["realtime", "granite-mlx-token."], False),
        ({"authorization": "Bearer opensesame", "host": "evil.example"}, [], False),
        ({"authorization": "Bearer opensesame", "origin": "http://evil.example"}, [], False),
    ],
)
def test_a_websocket_is_checked_too(
    model: GraniteSpeech, folder, headers: dict, protocols: list[str], is_let_in: bool
) -> None:
    app = server_app(model, folder, Access("opensesame"))
    client, headers = TestClient(app), {"host": "localhost", **headers}
    if not is_let_in:
        with (
            pytest.raises(WebSocketDisconnect),
            client.websocket_connect("/v1/realtime", subprotocols=protocols, headers=headers),
        ):
            pass
        return
    with client.websocket_connect(
        "/v1/realtime", subprotocols=protocols, headers=headers
    ) as socket:
        assert socket.receive_json()["type"] == "session.created"


def test_loopback() -> None:
    assert all(map(is_loopback, ["localhost", "127.0.0.1", "127.8.8.8", "::1"]))
    assert not any(map(is_loopback, ["0.0.0.0", "::", "192.168.1.7", "mac.local", ""]))
