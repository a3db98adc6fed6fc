"""Tables in Markdown, and their places in documents."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path


def line(cells: Iterable[str]) -> str:
    """One line of a table."""
    return f"| {' | '.join(cells)} |"


def markdown(
    head: Sequence[str], rows: Iterable[Iterable[str]], *, n_names: int | None = None
) -> str:
    """A table; the columns behind the first `n_names` hold numbers, which stand on the right."""
    n_names = len(head) if n_names is None else n_names
    rule = ["---"] * n_names + ["--:"] * (len(head) - n_names)
    return "\n".join([line(head), line(rule), *map(line, rows)])


def with_block(text: str, name: str, block: str) -> str:
    """The document with a block between its lines of this name, which `markers` has.

    Raises:
        ValueError: it does not have each of them once, in order.
    """
    begin, end = markers(name)
    before, found_begin, rest = text.partition(begin)
    _, found_end, after = rest.partition(end)
    if not found_begin or not found_end or begin in after or end in before + after:
        raise ValueError(f"the document needs a line {begin} and after it a line {end}.")
    return f"{before}{begin}\n\n{block}\n\n{end}{after}"


def markers(name: str) -> tuple[str, str]:
    """The lines of a document between which a block stands."""
    return f"<!-- {name}: written by benchmarks -->", f"<!-- end of {name} -->"


def block_writer(document: Path | None, name: str) -> Callable[[str], None]:
    """What puts a block into the document, which is looked at now, and not after an hour.

    Without a document it writes nothing.

    Raises:
        ValueError: as `with_block`.
        OSError: the document cannot be read.
    """
    if document is None:
        return lambda block: None
    path = document
    with_block(path.read_text(encoding="utf-8"), name, "")

    def write(block: str) -> None:
        text = path.read_text(encoding="utf-8")
        path.write_text(with_block(text, name, block), encoding="utf-8")

    return write
