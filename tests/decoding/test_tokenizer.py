from pathlib import Path

import pytest
from tokenizers import AddedToken, Tokenizer, models

from granite_mlx.decoding.tokenizer import SpeechTokenizer
from granite_mlx.errors import CheckpointError

from ..model.tiny import AUDIO, CHAT_TEMPLATE, CONFIG, END, tokenizer

AUDIO_ID = CONFIG["audio_token_index"]


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("checkpoint") / "tokenizer.json"
    tokenizer().save(str(path))
    return path


@pytest.fixture(scope="module")
def speech(path: Path) -> SpeechTokenizer:
    return SpeechTokenizer(path, CHAT_TEMPLATE, AUDIO_ID)


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
    speech = SpeechTokenizer(path, template, AUDIO_ID)
    assert speech.prompt("x") == "[user] <|audio|>x[assistant]"
    assert speech.prompt("x", "be exact") == "[system] be exact[user] <|audio|>x[assistant]"


def test_blocks_leave_no_lines_behind(path: Path) -> None:
    """As transformers renders templates: a block's line break and indent are not text."""
    template = (
        "{% for m in messages %}\n  {% if true %}\n{{ m.content }}\n  {% endif %}\n{% endfor %}\n"
    )
    assert SpeechTokenizer(path, template, AUDIO_ID).prompt("x") == "<|audio|>x\n"


@pytest.mark.parametrize("n_audio_tokens", [0, 1, 50])
def test_the_audio_token_is_repeated(speech: SpeechTokenizer, n_audio_tokens: int) -> None:
    prompt = speech.prompt("what is said?")
    ids, at = speech.encode_prompt(prompt, n_audio_tokens)
    before, behind = prompt.split(AUDIO)
    assert ids[:at] == speech.encode(before)
    assert ids[at : at + n_audio_tokens] == [AUDIO_ID] * n_audio_tokens
    assert ids[at + n_audio_tokens :] == speech.encode(behind)


# Text


@pytest.mark.parametrize("text", ["", " ", "hello", " l'été à 5 €", "東京 \n\t", "a  b", "🎧"])
def test_text_comes_back(speech: SpeechTokenizer, text: str) -> None:
    assert speech.decode(speech.encode(text)) == text


def test_special_tokens_are_left_out(speech: SpeechTokenizer) -> None:
    ids = speech.encode("one")
    assert speech.decode([AUDIO_ID, *ids, 0, 1, *ids]) == "oneone"


def test_half_a_character_is_no_error(speech: SpeechTokenizer) -> None:
    ids = speech.encode("é")
    assert speech.decode(ids[:1]) == "\ufffd"


def test_no_token_is_added(speech: SpeechTokenizer) -> None:
    assert speech.encode("") == []


# Templates that are no use, and those that mean harm


@pytest.mark.parametrize(
    "template",
    [
        "{{ messages[0].content",
        "{% for %}",
        "{% bogus %}",
    ],
)
def test_templates_that_cannot_be_parsed(path: Path, template: str) -> None:
    with pytest.raises(CheckpointError, match="chat template cannot be parsed") as caught:
        SpeechTokenizer(path, template, AUDIO_ID)
    assert str(path.parent) in str(caught.value)


@pytest.mark.parametrize(
    "template",
    [
        "{{ missing.attribute }}",
        "{% include 'x' %}",
        "{{ raise_exception('only for text') }}",
        "{{ messages[0]['content'] + 1 }}",
        "{{ 1 / 0 }}",
        "{{ messages[7].content }}",
        "{{ ''.__class__.__mro__[1].__subclasses__() }}",
        "{{ messages.append(1) }}",
        "{{ range(999999999) | list }}",
        "{{ strftime_now('%d') }}",
    ],
)
def test_templates_that_fail(path: Path, template: str) -> None:
    with pytest.raises(CheckpointError, match="chat template fails") as caught:
        SpeechTokenizer(path, template, AUDIO_ID)
    assert str(path.parent) in str(caught.value)


def test_the_template_s_own_complaint_is_shown(path: Path) -> None:
    with pytest.raises(CheckpointError, match="no audio here"):
        SpeechTokenizer(path, "{{ raise_exception('no audio here') }}", AUDIO_ID)


@pytest.mark.parametrize(
    ("template", "count"),
    [("hello", 0), ("{{ messages[0].content }}{{ messages[0].content }}", 2)],
)
def test_templates_without_one_place_for_audio(path: Path, template: str, count: int) -> None:
    with pytest.raises(CheckpointError, match=f"{count} audio placeholders"):
        SpeechTokenizer(path, template, AUDIO_ID)


def test_json_in_templates(path: Path) -> None:
    template = "{{ messages[0].content }}{{ {'k': 'é<'} | tojson }}"
    assert SpeechTokenizer(path, template, AUDIO_ID).prompt("").endswith('{"k": "é<"}')


# Files that do not fit


@pytest.mark.parametrize("content", [b"", b"{}", b"[]", b"\xff", b'{"model": {}}'])
def test_files_that_are_no_tokenizer(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "tokenizer.json"
    path.write_bytes(content)
    with pytest.raises(CheckpointError) as caught:
        SpeechTokenizer(path, CHAT_TEMPLATE, AUDIO_ID)
    assert str(path) in str(caught.value)


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"tokenizer\.json"):
        SpeechTokenizer(tmp_path / "tokenizer.json", CHAT_TEMPLATE, AUDIO_ID)


@pytest.mark.parametrize("audio_id", [0, 3, 100352])
def test_another_audio_token_than_config_json_says(path: Path, audio_id: int) -> None:
    with pytest.raises(CheckpointError, match=f"audio_token_index is {audio_id}") as caught:
        SpeechTokenizer(path, CHAT_TEMPLATE, audio_id)
    assert f"has id {AUDIO_ID}" in str(caught.value)


def test_a_tokenizer_without_audio(tmp_path: Path) -> None:
    text_only = Tokenizer(models.WordLevel({"a": 0, "?": 1}, unk_token="?"))
    text_only.add_special_tokens([AddedToken(END, special=True)])
    text_only.save(str(tmp_path / "tokenizer.json"))
    with pytest.raises(CheckpointError, match="has id None"):
        SpeechTokenizer(tmp_path / "tokenizer.json", CHAT_TEMPLATE, AUDIO_ID)


def test_an_audio_token_that_text_is_never_split_at(tmp_path: Path) -> None:
    """It is in the vocabulary, but not among the special tokens."""
    vocabulary = {"a": 0, "?": 1, AUDIO: AUDIO_ID}
    Tokenizer(models.WordLevel(vocabulary, unk_token="?")).save(str(tmp_path / "tokenizer.json"))
    with pytest.raises(CheckpointError, match=r"<\|audio\|>"):
        SpeechTokenizer(tmp_path / "tokenizer.json", CHAT_TEMPLATE, AUDIO_ID)
