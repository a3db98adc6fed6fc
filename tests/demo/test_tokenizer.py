"""The demo checkpoint's tokenizer and chat template are those of its training."""

import importlib
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from tokenizers import Tokenizer

from granite_mlx.decoding.chat_template import ChatTemplate
from granite_mlx.decoding.tokenizer import SpeechTokenizer
from granite_mlx.model.folder import read_chat_template, read_config

PREFIX, SUFFIX = "USER: ", "\n ASSISTANT:"  # of demo/tokens.py, which needs torch


@pytest.fixture(scope="module")
def tokenizer(demo_checkpoint: Path) -> Tokenizer:
    return Tokenizer.from_file(str(demo_checkpoint / "tokenizer.json"))


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


def test_texts_come_back_from_their_tokens(tokenizer: Tokenizer, texts: list[str]) -> None:
    for text in texts:
        assert tokenizer.decode(tokenizer.encode(text).ids) == text


def test_most_words_are_one_token(tokenizer: Tokenizer, texts: list[str]) -> None:
    plain = texts[1::2]  # without punctuation
    n_words = sum(len(text.split()) for text in plain)
    n_tokens = sum(len(tokenizer.encode(text)) for text in plain)
    assert n_tokens < 1.25 * n_words


def test_prompts_are_the_tokens_of_training(
    tokenizer: Tokenizer, demo_checkpoint: Path, demo_recipe: ModuleType
) -> None:
    """Training encodes what stands before and behind the audio apart, the product the whole."""
    config = read_config(demo_checkpoint)
    template = ChatTemplate(read_chat_template(demo_checkpoint), {}, demo_checkpoint)
    speech = SpeechTokenizer(
        demo_checkpoint / "tokenizer.json",
        template,
        config["audio_token_index"],
        config["text_config"]["vocab_size"],
    )
    instruction = importlib.import_module("demo.tasks").ASR + " Keywords: Erik, Zoë"
    prompt = speech.prompt(instruction)
    assert prompt == f"{PREFIX}<|audio|>{instruction}{SUFFIX}"
    before, after = tokenizer.encode(PREFIX).ids, tokenizer.encode(instruction + SUFFIX).ids
    assert speech.encode_prompt(prompt) == (before + after, len(before))
