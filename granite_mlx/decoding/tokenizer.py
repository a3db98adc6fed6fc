"""Text to token ids and back, with the checkpoint's own tokenizer and chat template."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from granite_mlx.errors import CheckpointError

AUDIO_TOKEN = "<|audio|>"


class SpeechTokenizer:
    """tokenizer.json and the chat template of one checkpoint.

    The template is the checkpoint's text and so not ours to trust: jinja2 renders it in its
    sandbox, without access to Python's attributes.
    """

    def __init__(self, tokenizer_path: Path, chat_template: str, audio_token_id: int) -> None:
        from jinja2.exceptions import TemplateError
        from jinja2.sandbox import ImmutableSandboxedEnvironment
        from tokenizers import Tokenizer

        try:
            self._tokenizer = Tokenizer.from_file(str(tokenizer_path))
        except Exception as error:  # tokenizers raises bare Exception for a file it cannot read
            raise CheckpointError(
                f"{tokenizer_path} is not a tokenizer that can be read ({error}); fetch it again."
            ) from error
        found = self._tokenizer.token_to_id(AUDIO_TOKEN)
        if found != audio_token_id:
            raise CheckpointError(
                f"{tokenizer_path}: {AUDIO_TOKEN} has id {found}, but config.json's "
                f"audio_token_index is {audio_token_id}; the two files do not belong together."
            )
        self._audio_token_id = audio_token_id
        environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True)
        environment.globals["raise_exception"] = _raise_template_error
        environment.filters["tojson"] = _to_json
        self._folder = tokenizer_path.parent
        try:
            self._template = environment.from_string(chat_template)
        except TemplateError as error:
            raise CheckpointError(
                f"{self._folder}: the chat template cannot be parsed ({error})."
            ) from error
        self.encode_prompt(self.prompt("test"), 0)  # what is wrong with either shows now

    def prompt(self, instruction: str, system: str | None = None) -> str:
        """The rendered conversation: one user turn with the audio before the instruction."""
        messages = [{"role": "system", "content": system}] if system else []
        messages.append({"role": "user", "content": AUDIO_TOKEN + instruction})
        try:
            text = self._template.render(messages=messages, add_generation_prompt=True)
        except Exception as error:  # what a template computes may fail in any way
            raise CheckpointError(
                f"{self._folder}: the chat template fails to render a prompt ({error})."
            ) from error
        if text.count(AUDIO_TOKEN) != 1:
            raise CheckpointError(
                f"{self._folder}: the chat template gives {text.count(AUDIO_TOKEN)} audio "
                "placeholders where one is needed; it is not a Granite Speech template."
            )
        return text

    def encode_prompt(self, prompt: str, n_audio_tokens: int) -> tuple[list[int], int]:
        """Token ids of a rendered prompt with the audio placeholder repeated.

        Returns the ids and the position of the first audio token.
        """
        ids = self._tokenizer.encode(prompt, add_special_tokens=False).ids
        if ids.count(self._audio_token_id) != 1:
            raise CheckpointError(
                f"{self._folder}: tokenizer.json does not keep {AUDIO_TOKEN} as one token; "
                "it must be among its added_tokens."
            )
        at = ids.index(self._audio_token_id)
        return ids[:at] + [self._audio_token_id] * n_audio_tokens + ids[at + 1 :], at

    def encode(self, text: str) -> list[int]:
        """Token ids of plain text, without special tokens."""
        return list(self._tokenizer.encode(text, add_special_tokens=False).ids)

    def decode(self, ids: Sequence[int]) -> str:
        """Text of token ids, special tokens left out."""
        return str(self._tokenizer.decode(list(ids), skip_special_tokens=True))


def _raise_template_error(message: str) -> None:
    from jinja2.exceptions import TemplateError

    raise TemplateError(message)


def _to_json(value: Any, indent: int | None = None) -> str:
    return json.dumps(value, ensure_ascii=False, indent=indent)
