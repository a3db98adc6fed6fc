from collections.abc import Iterator
from pathlib import Path

import huggingface_hub
import pytest
from huggingface_hub import constants

from ..model.fake_hub import FakeHub
from .small import CONFIG, small_checkpoint


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A checkpoint of a folder, in bfloat16 and three shards, with a card and the draft head."""
    folder = small_checkpoint(
        tmp_path / "source", config=CONFIG | {"dtype": "bfloat16"}, dtype="BF16", n_shards=3
    )
    (folder / "README.md").write_text("---\nlicense: apache-2.0\n---\nIt listens.\n")
    (folder / "out_llm.safetensors").write_bytes(b"as it is")
    return folder


@pytest.fixture
def result(tmp_path: Path) -> Path:
    """Where conversions go; a folder of its own shows what they leave behind."""
    (tmp_path / "results").mkdir()
    return tmp_path / "results" / "converted"


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeHub]:
    """The hub that huggingface_hub talks to, and an empty cache."""
    for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "token"))
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    with FakeHub() as hub:
        address = hub.url + "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr(constants, "ENDPOINT", hub.url)
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", address)
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        yield hub
    huggingface_hub.close_session()
