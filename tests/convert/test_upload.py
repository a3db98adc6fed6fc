from pathlib import Path
from types import SimpleNamespace
from typing import Any

import huggingface_hub
import pytest
from huggingface_hub import HfApi, RepoUrl, constants
from huggingface_hub.errors import HfHubHTTPError
from huggingface_hub.utils import filter_repo_objects

from granite_mlx.convert.upload import check_upload, upload
from granite_mlx.errors import ConversionError


class Hub:
    """What huggingface_hub's HfApi does of it; remembers the calls, and fails where told to."""

    def __init__(self, broken: str = "") -> None:
        self.broken = broken
        self.calls: list[tuple[str, dict[str, Any]]] = []

    def _call(self, name: str, **arguments: Any) -> None:
        self.calls.append((name, arguments))
        if name == self.broken:
            raise ConnectionError("the line is dead\nand more")

    def whoami(self) -> None:
        self._call("whoami")

    def create_repo(self, repo_id: str, exist_ok: bool) -> RepoUrl:
        self._call("create_repo", repo_id=repo_id, exist_ok=exist_ok)
        full = repo_id if "/" in repo_id else f"me/{repo_id}"
        return RepoUrl(f"{constants.ENDPOINT}/{full}")

    def upload_folder(self, **arguments: Any) -> None:
        self._call("upload_folder", **arguments)


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Hub:
    hub = Hub()
    monkeypatch.setattr(huggingface_hub, "HfApi", lambda: hub)
    return hub


def test_a_folder_is_uploaded_to_a_new_or_an_old_repository(hub: Hub, tmp_path: Path) -> None:
    assert upload(tmp_path, "owner/name") == f"{constants.ENDPOINT}/owner/name"
    (_, created), (_, uploaded) = hub.calls
    assert created == {"repo_id": "owner/name", "exist_ok": True}
    assert (uploaded["repo_id"], uploaded["folder_path"]) == ("owner/name", tmp_path)


def test_a_name_without_an_owner_is_ones_own(hub: Hub, tmp_path: Path) -> None:
    assert upload(tmp_path, "name") == f"{constants.ENDPOINT}/me/name"
    assert hub.calls[-1][1]["repo_id"] == "me/name"


def test_nothing_of_an_earlier_checkpoint_is_left_beside_it(hub: Hub, tmp_path: Path) -> None:
    upload(tmp_path, "owner/name")
    earlier = [
        "LICENSE", "README.md", "adapter_config.json", "adapter_model.safetensors",
        "chat_template.jinja", "cover.png", "generation_config.json", "processor_config.json",
        "model-00001-of-00002.safetensors", "model.safetensors.index.json", "out_llm.safetensors",
    ]  # fmt: skip
    patterns = hub.calls[-1][1]["delete_patterns"]
    assert list(filter_repo_objects(earlier, ignore_patterns=patterns)) == [
        "LICENSE", "README.md", "cover.png",
    ]  # fmt: skip


@pytest.mark.parametrize("step", ["create_repo", "upload_folder"])
def test_a_failed_upload_says_that_the_folder_is_whole(hub: Hub, tmp_path: Path, step: str) -> None:
    hub.broken = step
    with pytest.raises(ConversionError) as caught:
        upload(tmp_path, "owner/name")
    message = str(caught.value)
    assert (
        message == f"{tmp_path} is whole, but its upload to owner/name failed (the line is dead)."
    )


def test_what_can_be_told_before(hub: Hub) -> None:
    check_upload("owner/name")
    assert [name for name, _ in hub.calls] == ["whoami"]


@pytest.mark.parametrize("repo_id", ["a/b/c", "owner/na me", ""])
def test_a_malformed_id_is_refused_before_the_hub_is_asked(hub: Hub, repo_id: str) -> None:
    with pytest.raises(ConversionError, match="is no id of the hub"):
        check_upload(repo_id)
    assert hub.calls == []


def test_nobody_is_logged_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "token"))
    with pytest.raises(ConversionError, match=r"^owner/name: nobody is logged in .*hf auth login"):
        check_upload("owner/name")


@pytest.mark.parametrize(
    ("code", "said"),
    [(401, r"does not know you \(HTTP 401\); log in anew"), (503, "HTTP 503; try again later")],
)
def test_a_hub_that_refuses(monkeypatch: pytest.MonkeyPatch, code: int, said: str) -> None:
    def refuse(api: HfApi) -> None:
        response: Any = SimpleNamespace(status_code=code, headers={}, request=None)
        raise HfHubHTTPError("no", response=response)

    monkeypatch.setattr(HfApi, "whoami", refuse)
    with pytest.raises(ConversionError, match=said):
        check_upload("owner/name")


def test_a_hub_that_is_out_of_reach(hub: Hub) -> None:
    hub.broken = "whoami"
    with pytest.raises(ConversionError, match=r"is out of reach \(the line is dead\)") as caught:
        check_upload("owner/name")
    assert "log in" not in str(caught.value)
