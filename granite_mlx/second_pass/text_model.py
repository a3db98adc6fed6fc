"""What the second pass needs of a text model, and nothing else. Any object with these members is
one; it is chosen where a `SecondPass` is made."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol, TypeAlias

from granite_mlx.cancelling import CancelToken

Stop: TypeAlias = Literal["end", "limit"]
"""Why an answer ended: the model ended it, or it may have no more tokens."""

Schema: TypeAlias = Mapping[str, Any]
"""A JSON Schema."""


@dataclass(frozen=True)
class Piece:
    """Some more text of an answer; the last piece tells why there is no more."""

    text: str
    stop: Stop | None = None


class TextModel(Protocol):
    """A model that answers one message. Its methods may be called from any thread."""

    @property
    def model_id(self) -> str:
        """Its hub id, or the folder as it was given."""
        ...

    @property
    def window(self) -> int:
        """How many tokens a prompt and its answer may have together."""
        ...

    @property
    def caution(self) -> str | None:
        """A sentence that every answer of it carries as a warning; None where there is no need."""
        ...

    def count_tokens(self, prompt: str) -> int:
        """Of a user's message, with everything that the chat template puts around it."""
        ...

    def stream(
        self, prompt: str, max_new_tokens: int, schema: Schema | None, cancel: CancelToken
    ) -> Generator[Piece, None, None]:
        """The answer to a user's message, piece by piece; only the last piece has a `stop`.

        The prompt holds what was said: nothing in it may count as a special token (`defused`).

        Args:
            max_new_tokens: the most tokens of the answer.
            schema: what the answer should be valid against. A model that cannot be held to it
                writes what it writes: the answer is looked at in any case.
            cancel: looked at between tokens.
        """
        ...


def defused(text: str, marks: frozenset[str]) -> str:
    """A text in which nothing is a mark of a tokenizer: a space behind its first letter.

    Otherwise a transcript could end the user's turn and begin the model's. Special tokens with
    spaces in them are no marks of a chat template, and are let be. Halves of letters, which JSON
    can hold and no tokenizer takes, become "?".
    """
    text = text.encode(errors="replace").decode()
    for mark in sorted(marks, key=len, reverse=True):
        if len(mark) > 1 and not any(map(str.isspace, mark)):
            text = text.replace(mark, f"{mark[0]} {mark[1:]}")
    return text


def is_mark(token: str) -> bool:
    """Whether a token that was added to a vocabulary looks like <think> or [TOOL_CALLS]: such are
    not always called special, but stand for as much."""
    return len(token) > 1 and not (token[0].isalnum() or token[-1].isalnum())
