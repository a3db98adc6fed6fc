"""The OpenAPI document as a page of HTML: no script, nothing from elsewhere."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape
from typing import Any

Json = dict[str, Any]


def openapi_page(document: Json) -> str:
    """A page in the style of the other one."""
    info = document["info"]
    title = escape(f"{info['title']} {info['version']}")
    body = "\n".join(_operations(document))
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{title}</title>
<link rel="icon" href="page/icon.svg">
<link rel="stylesheet" href="page/docs.css">
</head>
<body>
<main>
<h1>{title}</h1>
<p>{escape(info["description"])} <a href="openapi.json">openapi.json</a> is the same for
programs, <a href="./">the page</a> for people.</p>
{body}
</main>
</body>
</html>
"""


def _operations(document: Json) -> Iterator[str]:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield f"<section><h2><code>{method.upper()} {escape(path)}</code></h2>"
            yield f"<p>{escape(operation['summary'])}</p>"
            yield from _inputs(operation)
            yield from _table(
                ("status", "answer"),
                ((status, one["description"]) for status, one in operation["responses"].items()),
            )
            yield "</section>"


def _inputs(operation: Json) -> Iterator[str]:
    rows = [
        (one["name"], _kind(one["schema"]), "In the path.")
        for one in operation.get("parameters", ())
    ]
    for content in operation.get("requestBody", {"content": {}})["content"].values():
        for name, schema in content["schema"].get("properties", {}).items():
            rows.append((name, _kind(schema), schema.get("description", "")))
    if rows:
        yield from _table(("field", "value", ""), rows)


def _kind(schema: Json) -> str:
    if "enum" in schema:
        kind = ", ".join(map(str, schema["enum"]))
    elif schema.get("type") == "array":
        kind = f"list of {_kind(schema['items'])}"
    elif schema.get("format") == "binary":
        kind = "file"
    else:
        kind = str(schema.get("type", ""))
    least, most = schema.get("minimum"), schema.get("maximum")
    if least is not None:
        kind += f" from {least:g}" if most is None else f", {least:g} to {most:g}"
    return kind


def _table(head: tuple[str, ...], rows: Any) -> Iterator[str]:
    yield "<table><thead><tr>" + "".join(f"<th>{one}</th>" for one in head) + "</tr></thead><tbody>"
    for name, *cells in rows:
        yield (
            f"<tr><th scope='row'><code>{escape(name)}</code></th>"
            + "".join(f"<td>{escape(cell)}</td>" for cell in cells)
            + "</tr>"
        )
    yield "</tbody></table>"
