"""Text to token ids and back, with the checkpoint's own tokenizer and chat template."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tokenizers import Tokenizer

from granite_mlx.decoding.chat_template import ChatTemplate
from granite_mlx.errors import CheckpointError
from granite_mlx.model.config import SpeechConfig
from granite_mlx.model.folder import TOKENIZER_NAME, read_chat_template, read_special_tokens

AUDIO_TOKEN = "<|audio|>"


def read_tokenizer(folder: Path, config: SpeechConfig) -> SpeechTokenizer:
    """The tokenizer and chat template of the checkpoint in a folder.

    Raises:
        CheckpointError: one of the two is missing or damaged, or they do not make a prompt.
    """
    template = ChatTemplate(read_chat_template(folder), read_special_tokens(folder), folder)
    path = folder / TOKENIZER_NAME
    return SpeechTokenizer(path, template, config.audio_token_index, config.text.vocab_size)


class SpeechTokenizer:
    """tokenizer.json and the chat template of one checkpoint.

    Raises:
        CheckpointError: the file cannot be read, does not fit the ids in config.json, or the two
            do not make a prompt.
    """

    def __init__(
        self, path: Path, template: ChatTemplate, audio_token_id: int, vocab_size: int
    ) -> None:
        self._path = path
        self._template = template
        self._audio_token_id = audio_token_id
        with self._reported("cannot be read; fetch it again"):
            self._tokenizer = Tokenizer.from_file(str(path))
            # Training may have left these on; a prompt must stay as it is.
            self._tokenizer.no_padding()
            self._tokenizer.no_truncation()
        self._check_ids(vocab_size)
        self.encode_prompt(self.prompt("test"))  # what is wrong with either shows now

    def prompt(self, instruction: str, system: str | None = None) -> str:
        """The rendered conversation: one user turn with the audio before the instruction."""
        messages = [{"role": "system", "content": system}] if system else []
        messages.append({"role": "user", "content": AUDIO_TOKEN + instruction})
        text = self._template.render(messages)
        if text.count(AUDIO_TOKEN) != 1:
            raise CheckpointError(
                f"{self._path.parent}: the chat template gives {text.count(AUDIO_TOKEN)} audio "
                "placeholders where one is needed; it is not a Granite Speech template."
            )
        return text

    def encode_prompt(self, prompt: str) -> tuple[list[int], int]:
        """Token ids of a rendered prompt without its audio placeholder, and where that stood."""
        with self._reported("fails to encode a prompt"):
            ids = self._tokenizer.encode(prompt, add_special_tokens=False).ids
        if ids.count(self._audio_token_id) != 1:
            raise CheckpointError(
                f"{self._path} does not keep {AUDIO_TOKEN} as one token; "
                "it must be among its added_tokens."
            )
        at = ids.index(self._audio_token_id)
        return ids[:at] + ids[at + 1 :], at

    def encode_message(self, message: str) -> list[int]:
        """Token ids of a user's message without audio, in the conversation up to the answer."""
        text = self._template.render([{"role": "user", "content": message}])
        return self.encode(text)

    @property
    def added_tokens(self) -> frozenset[str]:
        """Texts that are encoded as one token each, wherever they stand."""
        added = self._tokenizer.get_added_tokens_decoder().values()
        return frozenset(str(token.content) for token in added)

    @property
    def path(self) -> Path:
        """The file that it was read from."""
        return self._path

    def encode(self, text: str) -> list[int]:
        """Token ids of an answer, without the end token."""
        with self._reported("fails to encode a text"):
            return list(self._tokenizer.encode(text, add_special_tokens=False).ids)

    def decode(self, ids: Sequence[int]) -> str:
        """Text of token ids, special tokens left out."""
        with self._reported("fails to decode an answer"):
            return str(self._tokenizer.decode(list(ids), skip_special_tokens=True))

    def _check_ids(self, vocab_size: int) -> None:
        """The model has a row of its embedding table for each token, and audio is one of them."""
        found = self._tokenizer.token_to_id(AUDIO_TOKEN)
        if found != self._audio_token_id:
            raise CheckpointError(
                f"{self._path}: {AUDIO_TOKEN} has id {found}, but config.json's "
                f"audio_token_index is {self._audio_token_id}; the two files do not belong "
                "together."
            )
        largest = max(self._tokenizer.get_vocab().values())
        if largest >= vocab_size:
            raise CheckpointError(
                f"{self._path} has token ids up to {largest}, but config.json's "
                f"text_config.vocab_size is {vocab_size}; the two files do not belong together."
            )

    @contextmanager
    def _reported(self, complaint: str) -> Iterator[None]:
        """Turn what tokenizers raises into a CheckpointError."""
        try:
            yield
        except BaseException as error:
            # tokenizers raises bare Exception, and a panic of its Rust code is no Exception at all.
            if not isinstance(error, Exception) and type(error).__name__ != "PanicException":
                raise
            raise CheckpointError(f"{self._path} {complaint} ({error}).") from error
