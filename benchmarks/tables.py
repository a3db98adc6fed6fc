"""Tables in Markdown, and their places in documents."""

from __future__ import annotations

from collections.abc import Iterable


def line(cells: Iterable[str]) -> str:
    """One line of a table."""
    return f"| {' | '.join(cells)} |"


def with_block(text: str, name: str, block: str) -> str:
    """The document with a block in the place of the one of this name.

    Raises:
        ValueError: the document has no place for it.
    """
    begin, end = f"<!-- {name}: written by benchmarks -->", f"<!-- end of {name} -->"
    before, found, rest = text.partition(begin)
    _, closed, after = rest.partition(end)
    if not (found and closed):
        raise ValueError(f"the document has no lines {begin} and {end}.")
    return f"{before}{begin}\n\n{block}\n\n{end}{after}"
