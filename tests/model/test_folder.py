import json
from pathlib import Path
from typing import Any

import pytest

from granite_mlx.errors import CheckpointError
from granite_mlx.model.folder import read_chat_template, read_config, read_special_tokens

from .fake_hub import CONFIG


def test_read_config(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps(CONFIG))
    assert read_config(tmp_path) == CONFIG


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "config.json is missing; give the folder"),
        (b'{"model_type": ', "config.json is not valid JSON .*line 1"),
        (b"[1, 2]", "config.json holds no JSON object"),
        (b"\xff\xfe{}", "config.json is not UTF-8"),
        (b'{"a": ' + b"1" * 5000 + b"}", "config.json is not valid JSON"),
        (b'{"a": ' + b"[" * 100_000, "config.json is not valid JSON"),
    ],
)
def test_bad_config(tmp_path: Path, content: bytes | None, message: str) -> None:
    if content is not None:
        (tmp_path / "config.json").write_bytes(content)
    with pytest.raises(CheckpointError, match=message):
        read_config(tmp_path)


def test_config_is_a_folder(tmp_path: Path) -> None:
    (tmp_path / "config.json").mkdir()
    with pytest.raises(CheckpointError, match=r"config.json cannot be read \(Is a directory\)"):
        read_config(tmp_path)


TEMPLATES = {
    "tokenizer_config.json": {"chat_template": "from the tokenizer's configuration"},
    "chat_template.json": {"chat_template": "from the JSON file"},
    "chat_template.jinja": "from the jinja file\né",
}
"""The three places, the last one with the highest rank."""


def write_template(folder: Path, name: str, content: Any) -> None:
    text = content if isinstance(content, str) else json.dumps(content)
    (folder / name).write_text(text, encoding="utf-8")


def test_chat_template_in_each_place(tmp_path: Path) -> None:
    for name, content in TEMPLATES.items():
        write_template(tmp_path, name, content)
        expected = content if isinstance(content, str) else content["chat_template"]
        assert read_chat_template(tmp_path) == expected


def test_named_chat_templates(tmp_path: Path) -> None:
    named = [{"name": "tools", "template": "no"}, {"name": "default", "template": "yes"}]
    write_template(tmp_path, "tokenizer_config.json", {"chat_template": named})
    assert read_chat_template(tmp_path) == "yes"


@pytest.mark.parametrize(
    "content", [None, {}, {"chat_template": 7}, {"chat_template": [{"name": "tools"}, 7]}]
)
def test_no_chat_template(tmp_path: Path, content: Any) -> None:
    if content is not None:
        write_template(tmp_path, "tokenizer_config.json", content)
    with pytest.raises(CheckpointError, match=r"no chat template; it needs chat_template.jinja"):
        read_chat_template(tmp_path)


def test_damaged_chat_template(tmp_path: Path) -> None:
    write_template(tmp_path, "chat_template.json", "{")
    with pytest.raises(CheckpointError, match=r"chat_template.json is not valid JSON"):
        read_chat_template(tmp_path)


def test_special_tokens(tmp_path: Path) -> None:
    assert read_special_tokens(tmp_path) == {}
    raw = {
        "bos_token": "<s>",
        "eos_token": {"content": "</s>", "lstrip": False},
        "pad_token": None,
        "unk_token": 7,
        "audio_token": "<|audio|>",  # is given to no template
        "chat_template": "{{ bos_token }}",
    }
    write_template(tmp_path, "tokenizer_config.json", raw)
    assert read_special_tokens(tmp_path) == {"bos_token": "<s>", "eos_token": "</s>"}


def test_damaged_special_tokens(tmp_path: Path) -> None:
    write_template(tmp_path, "tokenizer_config.json", "{")
    with pytest.raises(CheckpointError, match=r"tokenizer_config.json is not valid JSON"):
        read_special_tokens(tmp_path)
