import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from tokenizers import AddedToken, Tokenizer, models

from granite_mlx.decoding.chat_template import ChatTemplate
from granite_mlx.decoding.tokenizer import SpeechTokenizer
from granite_mlx.errors import CheckpointError

from ..model.tiny import AUDIO, CHAT_TEMPLATE, CONFIG, END, tokenizer

AUDIO_ID = CONFIG["audio_token_index"]
VOCAB_SIZE = CONFIG["text_config"]["vocab_size"]


def opened(
    path: Path,
    template: str = CHAT_TEMPLATE,
    audio_id: int = AUDIO_ID,
    vocab_size: int = VOCAB_SIZE,
) -> SpeechTokenizer:
    return SpeechTokenizer(path, ChatTemplate(template, {}, path.parent), audio_id, vocab_size)


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("checkpoint") / "tokenizer.json"
    tokenizer().save(str(path))
    return path


@pytest.fixture(scope="module")
def speech(path: Path) -> SpeechTokenizer:
    return opened(path)


def edited(folder: Path, changes: Mapping[str, Any]) -> Path:
    """A tokenizer.json with other sections at its top."""
    path = folder / "tokenizer.json"
    path.write_text(json.dumps(json.loads(tokenizer().to_str()) | changes))
    return path


def ids_of(text: str) -> list[int]:
    return list(tokenizer().encode(text, add_special_tokens=False).ids)


# Prompts


def test_granite_s_prompt(speech: SpeechTokenizer) -> None:
    assert speech.prompt("what is said?") == "USER: <|audio|>what is said?\n ASSISTANT:"


def test_braces_in_an_instruction_are_text(speech: SpeechTokenizer) -> None:
    assert "{{ 1 + 1 }}{% raise %}" in speech.prompt("{{ 1 + 1 }}{% raise %}")


def test_a_template_with_a_system_turn(path: Path) -> None:
    template = (
        "{%- for message in messages %}[{{ message.role }}] {{ message['content'] }}\n"
        "{%- endfor %}{%- if add_generation_prompt %}[assistant]{% endif %}"
    )
    speech = opened(path, template)
    assert speech.prompt("x") == "[user] <|audio|>x[assistant]"
    assert speech.prompt("x", "be exact") == "[system] be exact[user] <|audio|>x[assistant]"


def test_the_place_of_the_audio(speech: SpeechTokenizer) -> None:
    prompt = speech.prompt("what is said?")
    before, behind = prompt.split(AUDIO)
    assert speech.encode_prompt(prompt) == (ids_of(before) + ids_of(behind), len(ids_of(before)))


@pytest.mark.parametrize(
    ("template", "count"),
    [("hello", 0), ("{{ messages[0].content }}{{ messages[0].content }}", 2)],
)
def test_templates_without_one_place_for_audio(path: Path, template: str, count: int) -> None:
    with pytest.raises(CheckpointError, match=f"{count} audio placeholders") as caught:
        opened(path, template)
    assert str(path.parent) in str(caught.value)


@pytest.mark.parametrize("strategy", [{"Fixed": 64}, "BatchLongest"])
def test_padding_that_was_left_on(
    tmp_path: Path, speech: SpeechTokenizer, strategy: object
) -> None:
    padding = {
        "strategy": strategy,
        "direction": "Right",
        "pad_to_multiple_of": 8,
        "pad_id": 0,
        "pad_type_id": 0,
        "pad_token": END,
    }
    prompt = speech.prompt("what is said?")
    padded = opened(edited(tmp_path, {"padding": padding}))
    assert padded.encode_prompt(prompt) == speech.encode_prompt(prompt)


@pytest.mark.parametrize(("max_length", "stride"), [(4, 0), (24, 0), (4, 8)])
def test_truncation_that_was_left_on(
    tmp_path: Path, speech: SpeechTokenizer, max_length: int, stride: int
) -> None:
    truncation = {
        "direction": "Right",
        "max_length": max_length,
        "strategy": "LongestFirst",
        "stride": stride,
    }
    prompt = speech.prompt("what is said?" * 9)
    truncated = opened(edited(tmp_path, {"truncation": truncation}))
    assert truncated.encode_prompt(prompt) == speech.encode_prompt(prompt)


# Text


@pytest.mark.parametrize("text", ["", " ", "hello", " l'été à 5 €", "東京 \n\t", "a  b", "🎧"])
def test_text_comes_back(speech: SpeechTokenizer, text: str) -> None:
    assert speech.decode(ids_of(text)) == text


def test_special_tokens_are_left_out(speech: SpeechTokenizer) -> None:
    ids = ids_of("one")
    assert speech.decode([AUDIO_ID, *ids, 0, 1, *ids]) == "oneone"


def test_half_a_character_is_no_error(speech: SpeechTokenizer) -> None:
    assert speech.decode(ids_of("é")[:1]) == "\ufffd"


# Files that do not fit


@pytest.mark.parametrize("content", [b"", b"{}", b"[]", b"\xff", b'{"model": {}}'])
def test_files_that_are_no_tokenizer(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "tokenizer.json"
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match="cannot be read") as caught:
        opened(path)
    assert str(path) in str(caught.value)


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"tokenizer\.json cannot be read"):
        opened(tmp_path / "tokenizer.json")


@pytest.mark.parametrize("audio_id", [0, 3, 100352])
def test_another_audio_token_than_config_json_says(path: Path, audio_id: int) -> None:
    with pytest.raises(CheckpointError, match=f"audio_token_index is {audio_id}") as caught:
        opened(path, audio_id=audio_id)
    assert f"has id {AUDIO_ID}" in str(caught.value)


def test_a_tokenizer_without_audio(tmp_path: Path) -> None:
    text_only = Tokenizer(models.WordLevel({"a": 0, "?": 1}, unk_token="?"))
    text_only.add_special_tokens([AddedToken(END, special=True)])
    text_only.save(str(tmp_path / "tokenizer.json"))
    with pytest.raises(CheckpointError, match="has id None"):
        opened(tmp_path / "tokenizer.json")


def test_an_audio_token_that_text_is_never_split_at(tmp_path: Path) -> None:
    """It is in the vocabulary, but not among the special tokens."""
    vocabulary = {"a": 0, "?": 1, AUDIO: AUDIO_ID}
    Tokenizer(models.WordLevel(vocabulary, unk_token="?")).save(str(tmp_path / "tokenizer.json"))
    with pytest.raises(CheckpointError, match=r"<\|audio\|> as one token"):
        opened(tmp_path / "tokenizer.json")


def test_more_tokens_than_the_model_knows(path: Path, tmp_path: Path) -> None:
    n_tokens = tokenizer().get_vocab_size()
    opened(path, vocab_size=n_tokens)
    with pytest.raises(
        CheckpointError, match=f"up to {n_tokens - 1}.*vocab_size is {n_tokens - 1}"
    ):
        opened(path, vocab_size=n_tokens - 1)


# tokenizers' panics, which are no Exceptions


def test_a_panic_while_reading(tmp_path: Path) -> None:
    broken = {"type": "Precompiled", "precompiled_charsmap": ""}
    with pytest.raises(CheckpointError, match=r"tokenizer\.json cannot be read; .*charsmap"):
        opened(edited(tmp_path, {"normalizer": broken}))


def test_a_tokenizer_that_cannot_encode_the_prompt(tmp_path: Path) -> None:
    vocabulary = [["a", -1.0], [END, -1.0], [AUDIO, -1.0]]
    model = {"type": "Unigram", "unk_id": None, "vocab": vocabulary, "byte_fallback": True}
    with pytest.raises(CheckpointError, match=r"tokenizer\.json fails to encode"):
        opened(edited(tmp_path, {"model": model}))


def test_a_panic_while_decoding(tmp_path: Path) -> None:
    speech = opened(
        edited(tmp_path, {"decoder": {"type": "Strip", "content": "a", "start": 0, "stop": 5}})
    )
    with pytest.raises(CheckpointError, match=r"tokenizer\.json fails to decode .*out of bounds"):
        speech.decode(ids_of("a"))
