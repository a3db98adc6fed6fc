"""A checkpoint's chat template: the conversation as the text that the model was trained with.

The template is the checkpoint's text and so not ours to trust: jinja2 renders it in its sandbox,
without access to Python's attributes, and its loops come to an end. It may use what transformers
offers to templates.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from itertools import count
from pathlib import Path
from typing import Any, NoReturn

from jinja2 import nodes, pass_context
from jinja2.exceptions import TemplateError
from jinja2.ext import Extension, loopcontrols
from jinja2.parser import Parser
from jinja2.runtime import Context
from jinja2.sandbox import ImmutableSandboxedEnvironment

from granite_mlx.errors import CheckpointError

MOST_TURNS = 100_000
"""Turns that all loops of a template may take together; a published one takes a few."""

_TURNS = "turns so far"  # no name that a template could write

Message = Mapping[str, str]


class ChatTemplate:
    """The template in `source`, of the checkpoint in `folder`.

    `special_tokens` are the texts of bos_token and its like, for a template that writes them.

    Raises:
        CheckpointError: the template cannot be parsed.
    """

    def __init__(self, source: str, special_tokens: Mapping[str, str], folder: Path) -> None:
        self._special_tokens = dict(special_tokens)
        self._folder = folder
        environment = _environment()
        try:
            tree = environment.parse(source)
            for loop in tree.find_all(nodes.For):
                loop.iter = nodes.Filter(loop.iter, "counted", [], [], None, None)
            self._template = environment.from_string(tree)
        except Exception as error:  # deep nesting is a RecursionError, or Python's SyntaxError
            raise CheckpointError(
                f"{folder}: the chat template cannot be parsed ({error})."
            ) from error

    def render(self, messages: Sequence[Message]) -> str:
        """The conversation up to where the model's answer begins.

        Raises:
            CheckpointError: the template fails.
        """
        names = {
            **self._special_tokens,
            "messages": messages,
            "add_generation_prompt": True,
            _TURNS: count(1),
        }
        try:
            return self._template.render(names)
        except Exception as error:  # what a template computes may fail in any way
            raise CheckpointError(
                f"{self._folder}: the chat template fails to render a prompt ({error})."
            ) from error


def _environment() -> ImmutableSandboxedEnvironment:
    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[_Generation, loopcontrols]
    )
    environment.globals["raise_exception"] = _raise_exception
    environment.globals["strftime_now"] = _strftime_now
    environment.filters["tojson"] = _to_json
    environment.filters["counted"] = _counted
    return environment


class _Generation(Extension):
    """{% generation %}: marks the model's own words for training, and means nothing here."""

    tags = {"generation"}  # noqa: RUF012  # as jinja2 declares it

    def parse(self, parser: Parser) -> nodes.Node:
        line = next(parser.stream).lineno
        body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
        return nodes.Scope(body, lineno=line)


@pass_context
def _counted(context: Context, items: Iterable[Any]) -> Iterator[Any]:
    """What a loop runs over, as long as the template's loops take no more than MOST_TURNS."""
    for item in items:
        if next(context[_TURNS]) > MOST_TURNS:
            raise TemplateError(f"its loops take more than {MOST_TURNS} turns")
        yield item


def _raise_exception(message: str) -> NoReturn:
    raise TemplateError(message)


def _strftime_now(pattern: str) -> str:
    return datetime.now().strftime(pattern)


def _to_json(
    value: Any,
    ensure_ascii: bool = False,
    indent: int | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,
) -> str:
    """Unlike jinja2's own filter, without escapes for HTML."""
    return json.dumps(
        value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys
    )
