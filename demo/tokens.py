"""The demo's byte-level BPE, trained once and kept, and the Granite chat template around it."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers

from demo import sentences, tasks
from demo.corpus import NamePools
from demo.model import AUDIO, EOS, PAD, VOCAB_SIZE

CHAT_TEMPLATE = (
    "{%- for message in messages %}"
    "{%- if message['role'] == 'user' %}USER: {{ message['content'] }}\n ASSISTANT:"
    "{%- elif message['role'] == 'assistant' %}{{ message['content'] }}<|end_of_text|>"
    "{%- endif %}{%- endfor %}"
)
PREFIX, SUFFIX = "USER: ", "\n ASSISTANT:"


def train(pools: NamePools, seed: int) -> Tokenizer:
    """Byte-level BPE over sentences, prompts and names; most words become one token."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCAB_SIZE,
        special_tokens=[EOS, PAD, AUDIO],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(_texts(pools, np.random.default_rng(seed)), trainer)
    tokenizer.add_special_tokens([AddedToken(t, special=True) for t in (EOS, PAD, AUDIO)])
    return tokenizer


def _texts(pools: NamePools, rng: np.random.Generator) -> Iterable[str]:
    prompts = [tasks.ASR, tasks.ASR_PUNCTUATED, tasks.ASR_KEYWORDS]
    for language in tasks.LANGUAGE_NAMES.values():
        prompts += [t.format(language) for t in (tasks.ASR_PUNCTUATED_GIVEN, tasks.AST,
                                                 tasks.AST_PUNCTUATED)]  # fmt: skip
    for prompt in prompts:
        yield from [f"{PREFIX}{prompt} Keywords: a, b{SUFFIX}"] * 300
    for language in ("en", "fr"):
        real, made_up = pools.real[language], pools.made_up[language]
        for _ in range(12000):
            s = sentences.draw(rng)
            text = s.en if language == "en" else s.fr
            spelled = [real[rng.integers(len(real))][rng.integers(2)] for _ in range(s.n_names)]
            yield " " + sentences.plain(text).format(*spelled)
            yield " " + text.format(*spelled)
        yield from (f" {name}" for pair in real for name in pair for _ in range(150))
        yield from (f" {name}" for pair in made_up for name in pair)


def load(path: Path) -> Tokenizer:
    return Tokenizer.from_file(str(path))
