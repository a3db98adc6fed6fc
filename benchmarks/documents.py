"""Tables in documents, between two markers, so that what measures them also writes them."""

from __future__ import annotations


def with_block(text: str, name: str, block: str) -> str:
    """A document with a block between its markers `<!-- NAME -->` and `<!-- end of NAME -->`.

    Raises:
        ValueError: it does not have each of them once, in order.
    """
    begin, end = f"<!-- {name} -->", f"<!-- end of {name.partition(',')[0]} -->"
    before, found_begin, rest = text.partition(begin)
    _, found_end, after = rest.partition(end)
    if not found_begin or not found_end or begin in after or end in before + after:
        raise ValueError(f"the document needs a line {begin} and after it a line {end}.")
    return f"{before}{begin}\n{block}\n{end}{after}"
