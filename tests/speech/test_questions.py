"""What a model is asked."""

from pathlib import Path
from typing import Any

import pytest

import granite_mlx
from granite_mlx import GraniteSpeech
from granite_mlx.decoding.tokenizer import SpeechTokenizer

from ..model.tiny import write_checkpoint
from .asking import RATE, SECOND, Listen


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The instructions that any model is asked, in order."""
    instructions: list[str] = []
    prompt = SpeechTokenizer.prompt

    def remember(self: SpeechTokenizer, instruction: str, system: str | None = None) -> str:
        instructions.append(instruction)
        return prompt(self, instruction, system)

    monkeypatch.setattr(SpeechTokenizer, "prompt", remember)
    return instructions


def test_what_the_model_is_asked(model: GraniteSpeech, listen: Listen, asked: list[str]) -> None:
    listen(keywords=["Ada", "C#"], language="fr")
    plain = "can you transcribe the speech into a written format? Keywords: Ada, C#"
    assert set(asked) == {plain}
    asked.clear()
    listen(punctuate=True)
    assert set(asked) == {"transcribe the speech with proper punctuation and capitalization."}
    asked.clear()
    model.translate(SECOND, sample_rate=RATE, to="zh", keywords=["Ada"], max_new_tokens=1)
    assert set(asked) == {"translate the speech to Mandarin. Keywords: Ada"}


PUNCTUATED = "transcribe the {}speech with proper punctuation and capitalization."


@pytest.mark.parametrize(
    ("name", "instruction"),
    [
        ("granite-4.0-tiny", PUNCTUATED.format("")),
        ("granite-4.1-tiny", PUNCTUATED.format("French ")),
        (
            "granite-speech-5.0",
            "The speech is in French. Transcribe it exactly; do not translate. "
            + PUNCTUATED.format(""),
        ),
    ],
)
@pytest.mark.parametrize("ending", ["", "/"])
def test_later_models_are_told_the_language(
    tmp_path: Path, asked: list[str], name: str, instruction: str, ending: str
) -> None:
    with granite_mlx.load(str(write_checkpoint(tmp_path / name)) + ending) as model:
        options: dict[str, Any] = {"punctuate": True, "language": "fr", "max_new_tokens": 1}
        model.transcribe(SECOND, sample_rate=RATE, **options)
    assert instruction in asked


def test_the_second_head_tells_a_later_model(tmp_path: Path, asked: list[str]) -> None:
    (write_checkpoint(tmp_path) / "out_llm.safetensors").write_bytes(b"")
    with granite_mlx.load(tmp_path) as model:
        model.transcribe(SECOND, sample_rate=RATE, keywords=["Ada"], max_new_tokens=1)
    assert "transcribe the speech to text. Keywords: Ada" in asked
