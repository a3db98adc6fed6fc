"""A text model that says what it is told to: what a random one cannot show."""

from collections.abc import Callable, Generator, Iterable
from typing import Any

from granite_mlx import CancelToken
from granite_mlx.second_pass import Piece

Answers = Iterable[str] | Callable[[str], str]


class Scripted:
    """Its tokens are words. Answers come in order, or are made of the prompt.

    It keeps the prompts, the schemas and the limits that it is given.
    """

    model_id = "scripted"
    caution: str | None = None

    def __init__(self, answers: Answers, window: int = 100_000) -> None:
        self.window = window
        self.prompts: list[str] = []
        self.schemas: list[Any] = []
        self.limits: list[int] = []
        if callable(answers):
            self._answer = answers
        else:
            waiting = iter(answers)
            self._answer = lambda prompt: next(waiting)

    def count_tokens(self, prompt: str) -> int:
        return len(prompt.split())

    def stream(
        self, prompt: str, max_new_tokens: int, schema: Any, cancel: CancelToken
    ) -> Generator[Piece, None, None]:
        assert self.count_tokens(prompt) + max_new_tokens <= self.window, "beyond the window"
        self.prompts.append(prompt)
        self.schemas.append(schema)
        self.limits.append(max_new_tokens)
        words = self._answer(prompt).split(" ")
        for word in words[:max_new_tokens]:
            cancel.check()
            yield Piece(f"{word} ")
        yield Piece("", "limit" if len(words) > max_new_tokens else "end")
