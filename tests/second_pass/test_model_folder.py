"""Which text models are refused: whatever is not data alone."""

import json
import pickle
import shutil
from pathlib import Path

import pytest

from granite_mlx import CancelToken, CheckpointError
from granite_mlx.second_pass import load_text_model
from granite_mlx.second_pass.model_folder import (
    DEFAULT_TEXT_MODEL,
    _has_weights,
    find_text_model,
)


class Trap:
    """A pickle that leaves a file where it is opened."""

    def __init__(self, place: Path) -> None:
        self.place = place

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return Path.touch, (self.place,)  # type: ignore[return-value]


@pytest.fixture
def folder(text_model_folder: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(text_model_folder, tmp_path / "model"))


@pytest.fixture
def sprung(tmp_path: Path) -> Path:
    return tmp_path / "sprung"


def add(folder: Path, name: str, key: str, value: object) -> None:
    content = json.loads((folder / name).read_text())
    (folder / name).write_text(json.dumps(content | {key: value}))


def code(sprung: Path) -> str:
    return f"import pathlib\npathlib.Path({str(sprung)!r}).touch()\n"


def test_a_model_with_code_of_its_own_is_refused(folder: Path, sprung: Path) -> None:
    (folder / "mine.py").write_text(code(sprung))
    add(folder, "config.json", "model_file", "mine.py")
    with pytest.raises(CheckpointError, match=r"code of its own \(mine.py.*never run"):
        load_text_model(folder)
    assert not sprung.exists()


def test_a_tokenizer_with_code_of_its_own_is_refused(folder: Path, sprung: Path) -> None:
    (folder / "mine.py").write_text(code(sprung))
    add(folder, "tokenizer_config.json", "auto_map", {"AutoTokenizer": [None, "mine.Tokenizer"]})
    with pytest.raises(CheckpointError, match="code of its own for its tokenizer"):
        load_text_model(folder)
    assert not sprung.exists()


def test_weights_as_pickles_are_refused(folder: Path, sprung: Path) -> None:
    (folder / "model.safetensors").unlink()
    (folder / "pytorch_model.bin").write_bytes(pickle.dumps(Trap(sprung)))
    with pytest.raises(CheckpointError, match=r"pytorch_model.bin, a pickle.*only safetensors"):
        load_text_model(folder)
    assert not sprung.exists()


def test_a_pickle_under_the_name_of_safetensors_is_not_opened(folder: Path, sprung: Path) -> None:
    (folder / "model.safetensors").write_bytes(pickle.dumps(Trap(sprung)))
    with pytest.raises(CheckpointError, match="cannot be loaded by mlx-lm"):
        load_text_model(folder)
    assert not sprung.exists()


def test_what_lies_about_is_neither_run_nor_opened(folder: Path, sprung: Path) -> None:
    for name in ("tokenization_granite.py", "modeling_granite.py", "mine.py"):
        (folder / name).write_text(code(sprung))
    for name in ("training_args.bin", "optimizer.pt", "vocab.pkl"):
        (folder / name).write_bytes(pickle.dumps(Trap(sprung)))
    load_text_model(folder).close()
    assert not sprung.exists()


def test_the_traps_work(sprung: Path) -> None:
    pickle.loads(pickle.dumps(Trap(sprung)))
    assert sprung.exists()
    sprung.unlink()
    exec(code(sprung))
    assert sprung.exists()


@pytest.mark.parametrize(
    ("lost", "complaint"),
    [
        ("model.safetensors", r"has no model\*.safetensors"),
        ("config.json", "config.json is missing"),
        ("tokenizer.json", "cannot be loaded by mlx-lm"),
        ("chat_template.jinja", "no chat template; take an instruct model"),
    ],
)
def test_what_is_missing_is_said(lost: str, complaint: str, folder: Path) -> None:
    (folder / lost).unlink()
    with pytest.raises(CheckpointError, match=complaint):
        load_text_model(folder)


def test_an_architecture_that_mlx_lm_has_not(folder: Path) -> None:
    add(folder, "config.json", "model_type", "not_an_architecture")
    with pytest.raises(CheckpointError, match=r"cannot be loaded by mlx-lm .*not supported"):
        load_text_model(folder)


def test_a_model_that_does_not_fit_is_refused(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("granite_mlx.model.memory._available_bytes", lambda: 10**9)
    with pytest.raises(CheckpointError, match=r"needs 1\.0 GB of memory"):
        load_text_model(folder)


@pytest.mark.parametrize("name", ["nowhere", "./no/where", "a/b/c", "/no/where"])
def test_names_that_are_neither_a_folder_nor_of_the_hub(name: str) -> None:
    with pytest.raises(CheckpointError, match="there is no folder"):
        load_text_model(name)


def test_a_file_and_a_revision_of_a_folder_are_refused(folder: Path) -> None:
    with pytest.raises(CheckpointError, match="there is no folder"):
        load_text_model(folder / "config.json")
    with pytest.raises(ValueError, match="revision is for models of the hub"):
        load_text_model(folder, revision="main")


def test_the_hub_out_of_reach_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(CheckpointError, match=f"^{DEFAULT_TEXT_MODEL}: .* out of reach"):
        load_text_model()


def test_the_environment_names_the_model(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRANITE_MLX_TEXT_MODEL", str(folder))
    assert find_text_model(None, None, None) == (folder, str(folder))


@pytest.mark.parametrize(
    ("template", "complaint"),
    [
        ("{% for one in messages %}{{ one.content", "fails on a user's message"),
        ("{{ raise_exception('no system role') }}", r"fails on a user's message \(no system role"),
        ("Hello.", "leaves out the user's message"),
    ],
)
def test_a_chat_template_that_cannot_work_is_told(
    template: str, complaint: str, folder: Path
) -> None:
    (folder / "chat_template.jinja").write_text(template)
    with pytest.raises(CheckpointError, match=complaint):
        load_text_model(folder)


def test_a_model_that_names_no_end_is_not_held_to_a_schema(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    del config["eos_token_id"]
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "tokenizer_config.json").write_text('{"tokenizer_class": "PreTrainedTokenizerFast"}')
    with load_text_model(folder) as model:
        pieces = list(model.stream("so?", 5, {"type": "object"}, CancelToken()))
    assert pieces[-1].stop == "limit"


@pytest.mark.parametrize(
    ("names", "is_whole"),
    [
        (["model.safetensors"], True),
        (["model-00001-of-00001.safetensors"], True),
        (["model-00001-of-00002.safetensors"], False),
        (["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"], True),
        ([], False),
    ],
)
def test_a_download_that_was_stopped_is_not_whole(
    names: list[str], is_whole: bool, tmp_path: Path
) -> None:
    for name in names:
        (tmp_path / name).touch()
    assert _has_weights(tmp_path) is is_whole
