"""Names of checkpoints: folders, "demo", ids of the hub, and what is neither."""

from pathlib import Path

import pytest

from granite_mlx.errors import CheckpointError
from granite_mlx.model import checkpoint
from granite_mlx.model.checkpoint import DEFAULT_MODEL, find_checkpoint

from .fake_hub import MODEL_ID, FakeHub


def test_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "my model"
    folder.mkdir()
    monkeypatch.setenv("HOME", str(tmp_path))
    for given in (folder, str(folder), "~/my model", Path("~/my model")):
        found = find_checkpoint(given)
        assert found.folder == folder
        assert (found.model_id, found.revision) == (str(given), None)


def test_folder_goes_before_the_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "owner" / "name").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    assert find_checkpoint("owner/name").folder == Path("owner/name")


def test_demo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    packaged, other = tmp_path / "packaged", tmp_path / "demo"
    for folder in (packaged, other):
        folder.mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(checkpoint, "DEMO_FOLDER", packaged)
    with pytest.raises(CheckpointError, match=r"demo checkpoint is missing .*install granite-mlx"):
        find_checkpoint("demo")
    (packaged / "config.json").write_text("{}")
    found = find_checkpoint("demo")
    assert (found.folder, found.model_id, found.revision) == (packaged, "demo", None)
    assert find_checkpoint(Path("demo")).folder == Path("demo")


def test_demo_folder_is_in_the_package(demo_checkpoint: Path) -> None:
    assert demo_checkpoint == checkpoint.DEMO_FOLDER


def test_no_model_means_the_environment_s(
    hub: FakeHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GRANITE_MLX_MODEL", MODEL_ID)
    assert find_checkpoint(None).model_id == MODEL_ID
    monkeypatch.setenv("GRANITE_MLX_MODEL", str(tmp_path))
    assert find_checkpoint(None).folder == tmp_path


@pytest.mark.parametrize("value", [None, ""])
def test_no_model_means_ibm_s(
    hub: FakeHub, monkeypatch: pytest.MonkeyPatch, value: str | None
) -> None:
    monkeypatch.delenv("GRANITE_MLX_MODEL", raising=False)
    if value is not None:
        monkeypatch.setenv("GRANITE_MLX_MODEL", value)
    with pytest.raises(CheckpointError, match=f"^{DEFAULT_MODEL}: "):
        find_checkpoint(None)
    assert hub.requests == [("GET", f"/api/models/{DEFAULT_MODEL}")]


@pytest.mark.parametrize(
    "model",
    [
        "",
        "nowhere",
        "./owner/name",
        "/no/such/folder",
        "~/no such folder",
        "owner/name/more",
        "owner/",
        "owner/na me",
        "own--er/name",
        "owner/name.git",
        "https://huggingface.co/owner/name",
        "x" * 5000,
        "nul\0",
        Path("owner/name"),
    ],
)
def test_neither_a_folder_nor_an_id(model: str | Path) -> None:
    with pytest.raises(CheckpointError, match=r"there is no folder .*granite-4.0-1b-speech"):
        find_checkpoint(model)


def test_file_instead_of_a_folder(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    path.touch()
    with pytest.raises(CheckpointError, match="is a file; give the folder"):
        find_checkpoint(path)


def test_a_recipe_is_no_part_of_a_checkpoints_name(tmp_path: Path) -> None:
    """`load` takes it off before; here it would only be a name that no hub model can have."""
    for base in ("demo", MODEL_ID, str(tmp_path)):
        with pytest.raises(CheckpointError, match="there is no folder"):
            find_checkpoint(f"{base}:q8")


def test_revision_is_for_the_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "config.json").write_text("{}")
    monkeypatch.setattr(checkpoint, "DEMO_FOLDER", tmp_path)
    for model in ("demo", tmp_path):
        with pytest.raises(ValueError, match="revision is for models of the hub"):
            find_checkpoint(model, revision="main")


def test_model_of_another_type() -> None:
    with pytest.raises(TypeError, match="not int"):
        find_checkpoint(7)  # type: ignore[arg-type]
