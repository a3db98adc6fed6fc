"""From a folder to a model."""

from pathlib import Path
from typing import Any

import pytest

import granite_mlx
from granite_mlx import CheckpointError, GraniteSpeech

from ..model.tiny import changed, write_checkpoint
from .asking import RATE, SECOND, Listen


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
def test_the_type_of_the_weights(folder: Path, dtype: str) -> None:
    with granite_mlx.load(folder, dtype=dtype) as model:
        assert model.dtype == dtype
        assert model.transcribe(SECOND, sample_rate=RATE, max_new_tokens=4).text


def test_the_checkpoint_s_own_type(folder: Path) -> None:
    with granite_mlx.load(str(folder)) as model:
        assert model.dtype == "bfloat16"
        assert model.model_id == str(folder)


@pytest.mark.parametrize("dtype", ["int8", "f32", "", "bf16"])
def test_types_that_there_are_not(folder: Path, dtype: str) -> None:
    with pytest.raises(ValueError, match="float32, float16, bfloat16"):
        granite_mlx.load(folder, dtype=dtype)


def test_two_models_side_by_side(folder: Path, model: GraniteSpeech, listen: Listen) -> None:
    wanted = listen()
    with granite_mlx.load(folder, dtype="float32") as other:
        again = other.transcribe(SECOND, sample_rate=RATE, max_new_tokens=12)
        assert listen() == again == wanted
    assert listen() == wanted


def test_a_closed_model(folder: Path) -> None:
    model = granite_mlx.load(folder)
    model.close()
    model.close()
    with pytest.raises(RuntimeError, match="closed"):
        model.transcribe(SECOND, sample_rate=RATE)
    with pytest.raises(RuntimeError, match="closed"):
        model.ctc_text(SECOND, sample_rate=RATE)


@pytest.mark.parametrize(
    ("name", "family"),
    [
        ("granite-4.0-1b-speech-ft-v5.0", "4.0"),
        ("granite-speech-4.1-2b", "4.1"),
        ("models--ibm-granite--granite-speech-4.1-2b/snapshots/0a1b2c3d", "4.1"),
    ],
)
def test_the_family_by_the_folder_s_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, family: str
) -> None:
    monkeypatch.chdir(write_checkpoint(tmp_path / name))
    for folder in (".", tmp_path / name, f"{tmp_path / name}/"):
        with granite_mlx.load(folder) as model:
            assert model.family == family


def test_special_tokens_in_a_chat_template(tmp_path: Path) -> None:
    write_checkpoint(tmp_path)
    template = tmp_path / "chat_template.jinja"
    template.write_text("{{ bos_token }}" + template.read_text())
    (tmp_path / "tokenizer_config.json").write_text('{"bos_token": "<|end_of_text|>"}')
    with granite_mlx.load(tmp_path) as model:
        assert model.prompt_ids("x")[0][0] == model.config.text.eos_token_id


def test_tied_embeddings(tmp_path: Path) -> None:
    config = changed("tie_word_embeddings", True)
    with granite_mlx.load(write_checkpoint(tmp_path, config=config)) as model:
        assert model.transcribe(SECOND, sample_rate=RATE, max_new_tokens=4).text


# Folders that are refused, before their weights are read


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("config.json", "{}", "model_type"),
        ("config.json", "{", "config.json is not valid JSON"),
        ("preprocessor_config.json", '{"n_mels": 64}', "n_mels is 64.*input_dim is 160"),
        ("preprocessor_config.json", '{"n_mels": "80"}', "n_mels must be"),
        ("preprocessor_config.json", '{"sampling_rate": 8000}', "8000"),
        ("tokenizer.json", "{}", "tokenizer.json"),
        ("chat_template.jinja", "{{ oops", "chat template"),
        ("chat_template.jinja", "hello", "audio placeholders"),
        ("model.safetensors", "text", "truncated"),
    ],
)
def test_what_is_wrong_shows_before_weights_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, content: str, message: str
) -> None:
    def load_weights(*args: Any) -> None:
        raise AssertionError("the weights were read")

    monkeypatch.setattr("granite_mlx.loading.load_weights", load_weights)
    (write_checkpoint(tmp_path) / name).write_text(content)
    with pytest.raises(CheckpointError, match=message) as caught:
        granite_mlx.load(tmp_path)
    assert name in str(caught.value) or str(tmp_path) in str(caught.value)


def test_a_context_without_room(tmp_path: Path) -> None:
    config = changed("text_config.max_position_embeddings", 4)
    with pytest.raises(CheckpointError, match=r"max_position_embeddings is 4, .*no room"):
        granite_mlx.load(write_checkpoint(tmp_path, config=config))


def test_fewer_tokens_than_the_tokenizer_has(tmp_path: Path) -> None:
    config = changed("text_config.vocab_size", 299)
    with pytest.raises(CheckpointError, match=r"token ids up to 299.*vocab_size is 299"):
        granite_mlx.load(write_checkpoint(tmp_path, config=config))


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json", "chat_template.jinja"])
def test_missing_files_are_named(tmp_path: Path, name: str) -> None:
    (write_checkpoint(tmp_path) / name).unlink()
    with pytest.raises(CheckpointError, match=name):
        granite_mlx.load(tmp_path)


def test_a_folder_without_weights(tmp_path: Path) -> None:
    (write_checkpoint(tmp_path) / "model.safetensors").unlink()
    with pytest.raises(CheckpointError, match="no weights found"):
        granite_mlx.load(tmp_path)


def test_a_preprocessor_config_is_not_needed(folder: Path, tmp_path: Path) -> None:
    write_checkpoint(tmp_path, dtype="BF16")
    (tmp_path / "preprocessor_config.json").unlink()
    with granite_mlx.load(tmp_path) as without, granite_mlx.load(folder) as model:
        options: dict[str, Any] = {"sample_rate": RATE, "max_new_tokens": 8}
        assert (
            without.transcribe(SECOND, **options).text == model.transcribe(SECOND, **options).text
        )
