"""The demo checkpoint's tokenizer and chat template are those of its training."""

import importlib
import json
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from granite_mlx.decoding.tokenizer import SpeechTokenizer

PREFIX, SUFFIX = "USER: ", "\n ASSISTANT:"  # of demo/tokens.py, which needs torch


@pytest.fixture(scope="module")
def tokenizer(demo_checkpoint: Path) -> SpeechTokenizer:
    config = json.loads((demo_checkpoint / "config.json").read_text())
    template = (demo_checkpoint / "chat_template.jinja").read_text()
    return SpeechTokenizer(
        demo_checkpoint / "tokenizer.json", template, config["audio_token_index"]
    )


@pytest.fixture(scope="module")
def texts(demo_recipe: ModuleType) -> list[str]:
    """Answers as the model has to write them, with a space in front."""
    sentences = importlib.import_module("demo.sentences")
    pairs = importlib.import_module("demo.names").REAL_PAIRS
    rng = np.random.default_rng(5)
    drawn = [sentences.draw(rng, held_out=bool(i % 2)) for i in range(600)]
    spelt = [[str(name) for name in rng.choice(np.ravel(pairs), 2)] for _ in drawn]
    return [
        " " + written.format(*names)
        for s, names in zip(drawn, spelt, strict=True)
        for text in (s.en, s.fr)
        for written in (text, sentences.plain(text))
    ]


def test_texts_come_back_from_their_tokens(tokenizer: SpeechTokenizer, texts: list[str]) -> None:
    for text in texts:
        assert tokenizer.decode(tokenizer.encode(text)) == text


def test_most_words_are_one_token(tokenizer: SpeechTokenizer, texts: list[str]) -> None:
    plain = texts[1::2]  # without punctuation
    n_words = sum(len(text.split()) for text in plain)
    n_tokens = sum(len(tokenizer.encode(text)) for text in plain)
    assert n_tokens < 1.25 * n_words


def test_prompts_are_the_tokens_of_training(
    tokenizer: SpeechTokenizer, demo_recipe: ModuleType
) -> None:
    """Training encodes what stands before and behind the audio apart, the product the whole."""
    instruction = importlib.import_module("demo.tasks").ASR + " Keywords: Erik, Zoë"
    prompt = tokenizer.prompt(instruction)
    assert prompt == f"{PREFIX}<|audio|>{instruction}{SUFFIX}"
    before, after = tokenizer.encode(PREFIX), tokenizer.encode(instruction + SUFFIX)
    assert tokenizer.encode_prompt(prompt, 0) == (before + after, len(before))
