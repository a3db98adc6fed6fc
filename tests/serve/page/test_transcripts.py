"""POST /v1/transcripts/{format}."""

from collections.abc import Iterator

import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.routing import Route
from starlette.testclient import TestClient

from granite_mlx import Segment, Transcript, Word
from granite_mlx.serve import transcripts
from granite_mlx.serve.errors import ErrorAnswers
from granite_mlx.serve.limits import ServerLimits
from granite_mlx.serve.stopping import Stop
from granite_mlx.serve.transcripts import TranscriptEndpoint

WORDS = (Word(0.5, 0.9, "Zoé", 0.9), Word(1.0, 1.4, "rit", 0.4))
TRANSCRIPT = Transcript(
    (Segment(0.5, 1.4, "Zoé rit", 0.65, words=WORDS),), "fr", None, "transcribe", 2.0, "demo"
)


@pytest.fixture(scope="module")
def client() -> Iterator[TestClient]:
    route = Route("/v1/transcripts/{format}", TranscriptEndpoint(ServerLimits(), Stop()))
    with TestClient(Starlette(routes=[route], middleware=[Middleware(ErrorAnswers)])) as client:
        yield client


@pytest.mark.parametrize("name", ["txt", "srt", "vtt", "tsv", "json"])
def test_as_save_writes_it(client, name, tmp_path):
    answer = client.post(f"/v1/transcripts/{name}", content=TRANSCRIPT.to_json())
    TRANSCRIPT.save(tmp_path / f"x.{name}")
    assert answer.status_code == 200
    assert answer.content == (tmp_path / f"x.{name}").read_bytes()


def test_what_is_wrong_is_told(client):
    refused = [
        (client.post("/v1/transcripts/docx", content="{}"), 404, "'docx' is none of"),
        (client.post("/v1/transcripts/srt", content="{"), 400, "not JSON"),
        (client.post("/v1/transcripts/srt", content="{}"), 400, "schema_version is missing"),
        (client.post("/v1/transcripts/srt", content=b"\xff"), 400, "UTF-8"),
    ]
    for answer, status, part in refused:
        assert answer.status_code == status
        assert part in answer.json()["error"]["message"]


def test_too_large(client, monkeypatch):
    monkeypatch.setattr(transcripts, "LARGEST_BYTES", 100)
    answer = client.post("/v1/transcripts/srt", content=TRANSCRIPT.to_json())
    assert answer.status_code == 413
